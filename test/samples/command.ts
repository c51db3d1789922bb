import { hash } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { DriverSample, LiveSample } from '../contract/service-driver.ts'
import { temporaryDirectory } from '../support/temporary.ts'

export const sample: DriverSample = { type: 'command', opaque: true, create: createCommandSample }

const program = `#!/bin/sh
case $1 in
  dump) exec cat items ;;
  restore) cat >items.new && mv items.new items ;;
esac
`

/** A file of items that only its own program reads and writes. */
async function createCommandSample(): Promise<LiveSample> {
  const projectDirectory = await temporaryDirectory()
  const file = path.join(projectDirectory, 'items')
  writeFileSync(path.join(projectDirectory, 'program'), program)
  chmodSync(path.join(projectDirectory, 'program'), 0o755)
  writeFileSync(file, Buffer.concat([Buffer.from('an item\n'.repeat(50_000)), Buffer.from([0, 0xff, 0x0a, 0])]))
  writeFileSync(path.join(projectDirectory, 'items2'), 'not ours')
  const digest = (name: string) => (existsSync(name) ? hash('sha256', readFileSync(name)) : 'absent')
  return {
    config: { dump: ['./program', 'dump'], restore: ['./program', 'restore'], limit: 30, compare: true },
    projectDirectory,
    context: { allowed: true },
    change: async (seed) => writeFileSync(file, `${readFileSync(file, 'utf8').slice(0, 90_000)}seed ${seed}`),
    fingerprint: async () => digest(file),
    strangers: async () => digest(path.join(projectDirectory, 'items2')),
    remove: async () => rmSync(file),
    ruins: {},
    fingerprintExport: async (directory, [first]) => digest(path.join(directory, first!)),
  }
}
