import path from 'node:path'
import type { Project } from '../service-driver.ts'
import type { Texts } from './found.ts'
import { ProjectFiles } from './project-files.ts'
import { readYaml, withinBounds, type YamlNode } from './yaml.ts'

/** A folder that the project's files call writable or uploaded to, relative to the project. */
export type FoundMount = { readonly path: string; readonly source: string }

/** Folders of these names hold what an application makes again on its own, or configuration. */
const remade = /^(\.|_|.*cache|.*caches|logs?|te?mp|sessions?|generated|static|locks?|run|etc|proxies)/i

/** Mounts of Platform.sh, Upsun and Magento Cloud, and DDEV's upload folders. Those that hold caches, logs and the like, by their names, are left out. */
export function findMounts(project: Project): FoundMount[] {
  return readMounts(new ProjectFiles(project, () => undefined))
}

function readMounts(texts: Texts): FoundMount[] {
  const mounts = [...cloudMounts(texts), ...ddevUploads(texts)]
  return mounts.flatMap(({ path: folder, source }) => {
    const inside = path.posix.normalize(folder).replace(/^\/+|\/+$/g, '')
    const isInside = inside !== '' && inside !== '.' && !inside.startsWith('..')
    return isInside && !inside.split('/').some((part) => remade.test(part)) ? [{ path: inside, source }] : []
  })
}

function cloudMounts(texts: Texts): readonly FoundMount[] {
  const single = ['.platform.app.yaml', '.magento.app.yaml'].flatMap((file) =>
    read(texts, file, (node) => mountsOf(node)),
  )
  const several = read(texts, '.platform/applications.yaml', (node) =>
    [...node.items(), ...node.entries().map(([, app]) => app)].flatMap(mountsOf),
  )
  const upsun = texts
    .list('.upsun')
    .filter((name) => /\.ya?ml$/.test(name))
    .flatMap((name) =>
      read(texts, `.upsun/${name}`, (node) =>
        (node.at('applications')?.entries() ?? []).flatMap(([, app]) => mountsOf(app)),
      ),
    )
  return [...single, ...several, ...upsun]
}

/** Mounts are relative to the application's own folder. */
function mountsOf(app: YamlNode): FoundMount[] {
  const root = app.at('source', 'root')?.text ?? ''
  return (app.at('mounts')?.entries() ?? []).map(([folder, node]) => ({
    path: path.posix.join('/', root, folder),
    source: node.source,
  }))
}

function ddevUploads(texts: Texts): readonly FoundMount[] {
  return read(texts, '.ddev/config.yaml', (node) => {
    const docroot = node.at('docroot')?.text ?? ''
    const folders = [
      ...(node.at('upload_dirs')?.items() ?? []),
      ...(node.at('upload_dir') ? [node.at('upload_dir')!] : []),
    ]
    return folders.flatMap((folder) =>
      folder.text === undefined ? [] : [{ path: path.posix.join(docroot, folder.text), source: folder.source }],
    )
  })
}

function read(texts: Texts, file: string, read: (node: YamlNode) => readonly FoundMount[]): readonly FoundMount[] {
  return withinBounds(texts, file, () => {
    const node = readYaml(texts, file)
    return node ? read(node) : []
  })
}
