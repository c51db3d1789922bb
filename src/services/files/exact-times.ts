import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { lstatSync, lutimesSync } from 'node:fs'
import { systemCode } from '../../domain/errors.ts'
import { TarExtraction } from './tar-extraction.ts'

/** `path` is a byte string below the base folder, `''` the base itself. */
export type FolderTime = { readonly path: string; readonly mtimeNs: bigint; readonly mode: number }

/** Sets the mtimes of folders that exist, to the nanosecond, and their modes on the way; `mode` should be what they have. */
export async function setFolderTimes(base: Buffer, folders: readonly FolderTime[], signal: AbortSignal): Promise<void> {
  const wrong = folders.filter(
    ({ path, mtimeNs }) => lstatSync(below(base, path), { bigint: true }).mtimeNs !== mtimeNs,
  )
  if (wrong.length === 0) return
  const tar = new TarExtraction(base.toString('utf8'), signal)
  try {
    for (const { path, mtimeNs, mode } of wrong) {
      await tar.add({ path: path === '' ? '.' : path, type: 'directory', mode, mtimeNs, bytes: 0 })
    }
    await tar.finish()
  } finally {
    await tar.abort()
  }
}

/** `file` is absolute. */
export type FileTime = { readonly file: Buffer; readonly mtimeNs: bigint }

/**
 * Sets mtimes of files and symlinks (never of what they point to) to the nanosecond where `touch` can, else as near as Node can: to about
 * 240 ns. Costs a process each: for the few that tar did not write.
 */
export async function setFileTimes(files: readonly FileTime[]): Promise<void> {
  const wrong = files.filter(isWrong)
  if (wrong.length === 0) return
  const touchable = wrong.filter(({ mtimeNs }) => mtimeNs >= firstYearNs && mtimeNs < lastYearNs)
  await runShell(touchable.map(({ file, mtimeNs }) => `touch -h -m -d ${isoTime(mtimeNs)} ${quote(file)}\n`).join(''))
  for (const { file, mtimeNs } of wrong.filter(isWrong)) {
    const seconds = Number(mtimeNs) / 1e9
    lutimesSync(file, seconds, seconds)
  }
}

function isWrong({ file, mtimeNs }: FileTime): boolean {
  return lstatSync(file, { bigint: true }).mtimeNs !== mtimeNs
}

function below(base: Buffer, path: string): Buffer {
  return path === '' ? base : Buffer.concat([base, Buffer.from(`/${path}`, 'latin1')])
}

/** As a byte string within single quotes. */
function quote(file: Buffer): string {
  return `'${file.toString('latin1').replaceAll("'", "'\\''")}'`
}

/** The years 1 to 9999, which have four digits. */
const firstYearNs = -62_135_596_800_000_000_000n
const lastYearNs = 253_402_300_800_000_000_000n

function isoTime(ns: bigint): string {
  const fraction = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
  const seconds = new Date(Number((ns - fraction) / 1_000_000n)).toISOString().slice(0, 19)
  return `${seconds}.${String(fraction).padStart(9, '0')}Z`
}

/** Runs a script of byte strings. Its failures show in what it was to do. */
async function runShell(script: string): Promise<void> {
  const child = spawn('sh', ['-s'], { env: { LC_ALL: 'C', TZ: 'UTC' }, stdio: ['pipe', 'ignore', 'ignore'] })
  child.stdin.on('error', () => {})
  child.stdin.end(Buffer.from(script, 'latin1'))
  try {
    await once(child, 'close')
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
}

/** Makes all that was written to the file system of a folder durable, where the system has a command for that; whether it had. */
export async function syncFileSystem(directory: string): Promise<boolean> {
  const child = spawn('sync', ['-f', directory], { env: { LC_ALL: 'C' }, stdio: 'ignore' })
  try {
    const [status] = (await once(child, 'close')) as [number | null]
    return status === 0
  } catch {
    return false
  }
}
