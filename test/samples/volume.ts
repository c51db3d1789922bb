import { hash } from 'node:crypto'
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { DriverSample, LiveSample } from '../contract/service-driver.ts'
import { startFileWriter, writtenFiles } from '../support/file-writer.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { treeText } from './files.ts'

export const sample: DriverSample = { type: 'volume', create: () => createVolumeSample() }

/** Its writer stands still while `stopped` is there, and has `writing` there while it does not. */
const program = `#!/bin/sh
case $1 in
  stop) touch stopped; while [ -e writing ]; do sleep 0.01; done ;;
  start) rm -f stopped ;;
esac
echo "$1" >>log
`

/** A folder `data` whose only writer is stopped and started by a program, beside files of similar names. */
export async function createVolumeSample(): Promise<LiveSample> {
  const projectDirectory = await temporaryDirectory()
  const root = path.join(projectDirectory, 'data')
  makeDataFolder(root)
  writeFileSync(path.join(projectDirectory, 'data-notes'), 'not ours')
  writeFileSync(path.join(projectDirectory, 'service'), program)
  chmodSync(path.join(projectDirectory, 'service'), 0o755)
  const own = ['data', 'log', 'stopped', 'writing']
  return {
    config: {
      path: 'data',
      exclude: ['cache/**'],
      stop: ['./service', 'stop'],
      start: ['./service', 'start'],
      limit: 30,
    },
    projectDirectory,
    context: { allowed: true },
    change: async (seed) => changeDataFolder(root, seed),
    fingerprint: async () => treeText(root, ['cache']),
    // The folder around it has its entries changed, and so its time.
    strangers: async () => withoutFirstLine(treeText(projectDirectory, own)) + treeText(path.join(root, 'cache')),
    remove: async () => rmSync(root, { recursive: true, force: true }),
    ruins: {
      'a file in its place': async () => {
        rmSync(root, { recursive: true })
        writeFileSync(root, 'not a folder')
      },
      'a symlink to nothing in its place': async () => {
        rmSync(root, { recursive: true })
        symlinkSync('gone', root)
      },
    },
    startWriter: () => startFileWriter(root, projectDirectory),
    written: async () => writtenFiles(root),
    fingerprintExport: async (directory, [first]) => treeText(path.join(directory, first!), ['cache'], root),
  }
}

/** Few entries, as a server has them; files with everything odd about them are the mounts' sample. */
function makeDataFolder(root: string): void {
  const file = (name: string) => path.join(root, name)
  mkdirSync(file('tables'), { recursive: true })
  mkdirSync(file('cache'))
  writeFileSync(file('cache/thing'), 'excluded')
  writeFileSync(file('pages'), pages(0, 40))
  writeFileSync(file('pid'), '123')
  writeFileSync(file('tables/same'), pages(1, 3))
  writeFileSync(file('tables/dropped'), pages(2, 3))
  symlinkSync('same', file('tables/link'))
}

/** What a server does: it writes into its files in place, makes and drops others. */
function changeDataFolder(root: string, seed: number): void {
  const file = (name: string) => path.join(root, name)
  writeFileSync(file('pages'), pages(seed, 40), { flag: 'r+' })
  writeFileSync(file(`tables/made-${seed}`), pages(seed, 2))
  rmSync(file('tables/dropped'), { force: true })
  chmodSync(file('pid'), 0o600)
}

function pages(seed: number, count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, i) => hash('sha256', `${seed} ${i}`, 'buffer')))
}

function withoutFirstLine(text: string): string {
  return text.slice(text.indexOf('\n'))
}
