import { readdir, readFile, readlink } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { EnvError } from '../../domain/errors.ts'
import { displayPath } from '../../domain/tree.ts'
import type { Volume, VolumeCommands } from './volume.ts'

/**
 * Waits until no process has a file of the folder open to write to it: a stop command may end before the service does, and to swap files under a service would
 * ruin them. Throws `busy` naming who is there at the limit. Where the system does not tell, nobody is; other users' processes may be missed.
 */
export async function untilNobodyWrites({ name, root }: Volume, { stop, options }: VolumeCommands): Promise<void> {
  const folder = displayPath(root)
  for (const end = performance.now() + options.limitMs; ; await sleep(50)) {
    const [first] = await writersBelow(folder)
    if (first === undefined) return
    if (performance.now() < end) continue
    throw new EnvError('busy', `${name}: ${stop.join(' ')} has ended, but ${first} still has files in ${folder} open`, {
      hint: 'the stop command must end only when the service has; nothing was changed',
    })
  }
}

async function writersBelow(folder: string): Promise<string[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(pids.map(async (pid) => ((await writesBelow(pid, folder)) ? nameOf(pid) : undefined)))
  return found.filter((each) => each !== undefined)
}

async function writesBelow(pid: string, folder: string): Promise<boolean> {
  for (const descriptor of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
    const file = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')
    if (!file.startsWith(`${folder}/`)) continue
    const info = await readFile(`/proc/${pid}/fdinfo/${descriptor}`, 'utf8').catch(() => '')
    // The last two bits of the flags, in octal: 0 reads, 1 writes, 2 does both.
    if (/^flags:\s+\d*[1256]$/m.test(info)) return true
  }
  return false
}

async function nameOf(pid: string): Promise<string> {
  const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return `${path.basename(words.split('\0', 1)[0]!) || 'a process'} (${pid})`
}
