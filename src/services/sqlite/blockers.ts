import { readdir, readFile, readlink, stat } from 'node:fs/promises'
import path from 'node:path'
import { systemCode } from '../../domain/errors.ts'

/** A process of this machine that is in the way. */
export type Blocker = { readonly pid: number; readonly command: string }

/** Bytes that SQLite locks to write: RESERVED in the database file, WAL_WRITE_LOCK in the -shm. Source: sqlite.org/src os.h and wal.c. */
const reservedByte = 0x4000_0000 + 1
const walWriteByte = 120

/** Processes other than our own that hold the write lock of a database; empty where the system does not tell. */
export async function writersOf(database: string, ours: ReadonlySet<number>): Promise<Blocker[]> {
  const locks = await readFile('/proc/locks', 'utf8').catch(() => '')
  const file = await stat(database).catch(() => undefined)
  const shared = await stat(`${database}-shm`).catch(() => undefined)
  const pids = new Set<number>()
  for (const line of locks.split('\n')) {
    const found = /\bWRITE\s+(\d+)\s+[0-9a-f]+:[0-9a-f]+:(\d+)\s+(\d+)\s+(\d+|EOF)/.exec(line)
    if (!found) continue
    const [pid, inode, from, to] = [Number(found[1]), Number(found[2]), Number(found[3]), Number(found[4])]
    const covers = (byte: number) => from <= byte && (Number.isNaN(to) || byte <= to)
    const holds = (inode === file?.ino && covers(reservedByte)) || (inode === shared?.ino && covers(walWriteByte))
    if (holds && !ours.has(pid)) pids.add(pid)
  }
  return Promise.all([...pids].map(named))
}

/** Processes other than our own that have the file open. Undefined where the system does not tell; other users' processes may be missed. */
export async function openersOf(file: string, ours: ReadonlySet<number>): Promise<Blocker[] | undefined> {
  const entries = await readdir('/proc').catch(() => undefined)
  if (!entries?.includes('self')) return undefined
  const target = await stat(file).catch(() => undefined)
  if (!target) return []
  const found: Blocker[] = []
  for (const entry of entries) {
    const pid = Number(entry)
    if (Number.isInteger(pid) && !ours.has(pid) && (await hasOpen(pid, file))) found.push(await named(pid))
  }
  return found
}

async function hasOpen(pid: number, file: string): Promise<boolean> {
  const names = await readdir(`/proc/${pid}/fd`).catch(() => [])
  for (const name of names) {
    try {
      if ((await readlink(`/proc/${pid}/fd/${name}`)) === file) return true
    } catch (error) {
      if (systemCode(error) === 'EACCES') return false
    }
  }
  return false
}

async function named(pid: number): Promise<Blocker> {
  const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  const program = path.basename(words.split('\0', 1)[0]!)
  // The kernel's own name of a process is that of its main thread, which runtimes such as Node change.
  const command = program || (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'a process')).trim()
  return { pid, command }
}

/** `node (12) and sqlite3 (13)`. */
export function nameBlockers(blockers: readonly Blocker[]): string {
  return blockers.map(({ pid, command }) => `${command} (${pid})`).join(' and ')
}
