import { readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { printable } from '../../domain/format-text.ts'
import { serviceName } from '../detection/found.ts'
import { findMounts } from '../detection/mounts.ts'
import type { Detected, Project } from '../service-driver.ts'

type Candidate = {
  readonly path: string
  readonly name: string
  readonly of: string
  readonly exclude?: readonly string[]
}

/** Folders in which well-known applications keep what their users upload; what of them is made again on its own is excluded. */
const known: readonly Candidate[] = [
  { path: 'pub/media', name: 'media', of: 'media of Magento', exclude: ['catalog/product/cache/**', 'tmp/**'] },
  {
    path: 'var',
    name: 'var',
    of: 'files written at run time',
    exclude: ['cache/**', 'log/**', 'page_cache/**', 'view_preprocessed/**', 'tmp/**'],
  },
  { path: 'storage/app', name: 'storage', of: 'storage of Laravel' },
  { path: 'wp-content/uploads', name: 'uploads', of: 'uploads of WordPress' },
  { path: 'web/app/uploads', name: 'uploads', of: 'uploads of WordPress (Bedrock)' },
  {
    path: 'sites/default/files',
    name: 'files',
    of: 'files of Drupal',
    exclude: ['css/**', 'js/**', 'php/**', 'styles/**'],
  },
  {
    path: 'web/sites/default/files',
    name: 'files',
    of: 'files of Drupal',
    exclude: ['css/**', 'js/**', 'php/**', 'styles/**'],
  },
  { path: 'public/uploads', name: 'uploads', of: 'uploads' },
  { path: 'public/media', name: 'media', of: 'media of Shopware' },
  { path: 'public/system', name: 'system', of: 'attachments of Rails' },
  { path: 'fileadmin', name: 'fileadmin', of: 'files of TYPO3' },
  { path: 'storage', name: 'storage', of: 'storage of Active Storage' },
  { path: 'data/uploads', name: 'uploads', of: 'uploads' },
  { path: 'uploads', name: 'uploads', of: 'uploads' },
  { path: 'media', name: 'media', of: 'media of Django' },
]

/** Proposes those that exist and that git does not keep; none within another. */
export function detectMounts(project: Project): Detected[] {
  const found: (Detected & { readonly path: string })[] = []
  for (const { path: folder, name, of, exclude } of [...known, ...namedByProject(project)]) {
    const isInside = found.some((other) => folder.startsWith(`${other.path}/`) || other.path.startsWith(`${folder}/`))
    if (isInside || !isFolder(path.join(project.directory, folder))) continue
    const tracked = [...project.tracked].filter((file) => file.startsWith(`${folder}/`) && !isPlaceholder(file))
    if (tracked.length > 0) continue
    const present = exclude?.filter((pattern) =>
      isFolder(path.join(project.directory, folder, pattern.replace('/**', ''))),
    )
    found.push({
      path: folder,
      name: freeName(name, found),
      config: { path: folder, ...(present && present.length > 0 ? { exclude: present } : {}) },
      reason: `${of}; git does not keep it`,
    })
  }
  return found.map(({ name, config, reason }) => ({ name, config, reason }))
}

/** What the project's own files call a mount or a folder of uploads. */
function namedByProject(project: Project): Candidate[] {
  return findMounts(project).map(({ path: folder, source }) => ({
    path: folder,
    name: serviceName(path.posix.basename(folder), 'files'),
    of: printable(`a mount of ${source}`),
  }))
}

/** Files that are tracked only to have the folder. */
function isPlaceholder(file: string): boolean {
  return ['.gitignore', '.gitkeep', '.keep', '.htaccess', 'index.html', 'README.md'].includes(path.basename(file))
}

function freeName(name: string, found: readonly Detected[]): string {
  let free = name
  for (let count = 2; found.some((other) => other.name === free); count++) free = `${name}-${count}`
  return free
}

function isFolder(file: string): boolean {
  try {
    readdirSync(file)
    return statSync(file).isDirectory()
  } catch {
    return false
  }
}
