import { hash } from 'node:crypto'
import {
  appendFileSync,
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import type { DriverSample, LiveSample } from '../contract/service-driver.ts'
import { startFileWriter, writtenFiles } from '../support/file-writer.ts'
import { temporaryDirectory } from '../support/temporary.ts'

export const sample: DriverSample = { type: 'files', create: createFilesSample }

/** `media` in a project that has files of similar names right beside it. */
async function createFilesSample(): Promise<LiveSample> {
  const projectDirectory = await temporaryDirectory()
  const root = path.join(projectDirectory, 'media')
  makeOddTree(root)
  writeFileSync(path.join(projectDirectory, 'media-notes'), 'not ours')
  mkdirSync(path.join(projectDirectory, 'media2'))
  writeFileSync(path.join(projectDirectory, 'media2/file'), 'not ours either')
  await settled()
  return {
    config: { path: 'media', exclude: ['cache/**'] },
    projectDirectory,
    change: async (seed) => {
      changeOddTree(root, seed)
      await settled()
    },
    fingerprint: async () => treeText(root, ['cache']),
    strangers: async () => treeText(projectDirectory, ['media']) + treeText(path.join(root, 'cache')),
    remove: async () => rmSync(root, { recursive: true, force: true }),
    ruins: {
      'a file in its place': async () => {
        rmSync(root, { recursive: true })
        writeFileSync(root, 'not a folder')
        chmodSync(root, 0o640)
      },
      'a symlink to nothing in its place': async () => {
        rmSync(root, { recursive: true })
        symlinkSync('gone', root)
      },
    },
    startWriter: () => startFileWriter(root),
    written: async () => writtenFiles(root),
    fingerprintExport: async (directory, [first]) => treeText(path.join(directory, first!), ['cache'], root),
  }
}

/** Until a change would get another time stamp than what was written before. */
function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 15))
}

const bytes = (text: string) => Buffer.from(text, 'latin1')

/** Everything that a folder on Linux can hold and a listing can say, a little of each. */
export function makeOddTree(root: string): void {
  const file = (name: string) => path.join(root, name)
  for (const name of ['a/b/c', 'odd', 'empty', 'closed', 'cache', 'a-b']) mkdirSync(file(name), { recursive: true })
  writeFileSync(file('a/text.txt'), 'some text\n'.repeat(1000))
  writeFileSync(file('a/b/empty'), '')
  writeFileSync(file('a/b/c/deep'), 'deep')
  writeFileSync(file('a-b/beside'), 'sorts before a/b by plain bytes')
  writeFileSync(file('odd/new\nline'), 'newline')
  writeFileSync(file('it\'s $(a) "quote" \\ back'), 'quotes')
  writeFileSync(bytes(`${file('odd/not-utf8-')}\xff\xfe`), 'bytes')
  writeFileSync(file('x'.repeat(255)), 'long name')
  writeFileSync(file('größe-日本'), 'unicode')
  writeFileSync(file('program'), '#!/bin/sh\n')
  chmodSync(file('program'), 0o4755)
  writeFileSync(file('private'), 'secret')
  chmodSync(file('private'), 0o600)
  writeFileSync(file('old'), 'from before 1970')
  utimesSync(file('old'), 12.5, new Date(-86_400_500))
  writeFileSync(file('holes'), 'start')
  truncateSync(file('holes'), 300_000)
  appendFileSync(file('holes'), 'end')
  writeFileSync(file('linked'), 'one file')
  linkSync(file('linked'), file('a/linked too'))
  linkSync(file('linked'), file('a/b/and here'))
  symlinkSync('a/text.txt', file('symlink'))
  symlinkSync('/nowhere/../at all', file('dangling'))
  symlinkSync('..', file('a/up'))
  writeFileSync(file('closed/inside'), 'in a folder that cannot be written')
  chmodSync(file('closed'), 0o555)
  writeFileSync(file('cache/thing'), 'excluded')
}

/** Adds, changes, removes; changes kinds, modes, times, links. */
export function changeOddTree(root: string, seed: number): void {
  const file = (name: string) => path.join(root, name)
  mkdirSync(file('a'), { recursive: true })
  writeFileSync(file('a/text.txt'), `changed by ${seed}\n`.repeat(900))
  writeFileSync(file(`added-${seed}`), `seed ${seed}`)
  mkdirSync(file(`folder-${seed}/inner`), { recursive: true })
  writeFileSync(file(`folder-${seed}/inner/file`), `seed ${seed}`)
  rmSync(file('a/b'), { recursive: true, force: true })
  rmSync(file('odd'), { recursive: true, force: true })
  rmSync(file('empty'), { recursive: true, force: true })
  writeFileSync(file('empty'), 'a file now')
  rmSync(file('private'), { recursive: true, force: true })
  mkdirSync(file('private'), { recursive: true })
  rmSync(file('symlink'), { force: true })
  symlinkSync('elsewhere', file('symlink'))
  writeFileSync(file('linked'), `all names of it ${seed}`)
  writeFileSync(file('program'), 'no longer setuid')
  chmodSync(file('program'), 0o640)
  chmodSync(file('a-b'), 0o700)
  chmodSync(file('closed'), 0o755)
  writeFileSync(file('closed/inside'), `changed by ${seed}`)
  chmodSync(file('closed'), 0o555)
}

/**
 * All below a folder as text: kind, mode, owner, time to the nanosecond, content, target, and which names are one file. `skip` are names
 * at the top. An export's own folder is not part of the tree: it is told as `like` stands.
 */
export function treeText(root: string, skip: readonly string[] = [], like = root): string {
  const lines: string[] = []
  const inodes = new Map<bigint, string>()
  const visit = (relative: string) => {
    const full =
      relative === ''
        ? bytes(Buffer.from(root).toString('latin1'))
        : bytes(`${Buffer.from(root).toString('latin1')}/${relative}`)
    const stat = lstatSync(relative === '' ? like : full, { bigint: true, throwIfNoEntry: false })
    if (!stat) return lines.push('nothing')
    const mode = stat.isSymbolicLink() ? 'symlink' : (stat.mode & 0o177777n).toString(8)
    const head = `${JSON.stringify(relative)} ${mode} ${stat.uid}:${stat.gid} ${stat.mtimeNs}`
    if (stat.isDirectory()) {
      lines.push(head)
      const names = readdirSync(full, { encoding: 'latin1' }).sort()
      for (const name of names)
        if (relative !== '' || !skip.includes(name)) visit(relative === '' ? name : `${relative}/${name}`)
    } else if (stat.isSymbolicLink()) lines.push(`${head} -> ${readlinkSync(full, { encoding: 'latin1' })}`)
    else if (stat.isFile()) {
      const first = inodes.get(stat.ino)
      if (stat.nlink > 1n && first === undefined) inodes.set(stat.ino, relative)
      const sparse = stat.blocks * 512n < stat.size ? ' with holes' : ''
      lines.push(
        first === undefined
          ? `${head} ${hash('sha256', readFileSync(full))}${sparse}`
          : `${head} is ${JSON.stringify(first)}`,
      )
    } else lines.push(`${head} special`)
    return lines.length
  }
  visit('')
  return lines.join('\n')
}
