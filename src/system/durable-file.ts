import { randomBytes } from 'node:crypto'
import { type FileHandle, link, mkdir, open, rename, stat, unlink } from 'node:fs/promises'
import path from 'node:path'
import { EnvError, messageOf, systemCode } from '../domain/errors.ts'

/** The calls that durable writing rests on; tests put a recorder or a file system with fewer abilities in their place. */
export type FileCalls = {
  readonly open: typeof open
  readonly link: typeof link
  readonly rename: typeof rename
  readonly mkdir: typeof mkdir
  readonly unlink: typeof unlink
}

export const realFileCalls: FileCalls = { open, link, rename, mkdir, unlink }

export type NewFileOptions = {
  /** A folder on the same file system, which exists. */
  readonly temporaryDirectory: string
  readonly mode?: number
  readonly calls?: FileCalls
}

/**
 * Writes a file whole or not at all, durable when it resolves: temporary file, fsync, length read back, link to its name, fsync of the folder.
 * The folder must exist. A file that has the name stays as it is: then `exists`.
 */
export async function writeNewFile(
  file: string,
  parts: readonly Uint8Array[],
  options: NewFileOptions,
): Promise<'created' | 'exists'> {
  const calls = options.calls ?? realFileCalls
  const temporary = path.join(options.temporaryDirectory, randomBytes(12).toString('hex'))
  const bytes = parts.reduce((sum, part) => sum + part.length, 0)
  try {
    await writeSynced(temporary, parts, options.mode ?? 0o600, calls)
    const result = await giveName(temporary, file, calls)
    await syncDirectory(path.dirname(file), calls)
    return result
  } catch (error) {
    throw fileError(error, file, `write ${bytes} bytes`)
  } finally {
    await calls.unlink(temporary).catch(() => {})
  }
}

/** Replaces a file's content (or makes the file) whole or not at all, durable when it resolves. The folder must exist. */
export async function replaceFile(
  file: string,
  parts: readonly Uint8Array[],
  options: { readonly mode?: number; readonly calls?: FileCalls } = {},
): Promise<void> {
  const calls = options.calls ?? realFileCalls
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
  const bytes = parts.reduce((sum, part) => sum + part.length, 0)
  try {
    await writeSynced(temporary, parts, options.mode ?? 0o600, calls)
    await calls.rename(temporary, file)
    await syncDirectory(path.dirname(file), calls)
  } catch (error) {
    await calls.unlink(temporary).catch(() => {})
    throw fileError(error, file, `write ${bytes} bytes`)
  }
}

/** Makes a folder and those above it that do not exist, each durable. */
export async function makeDirectory(directory: string, mode = 0o700, calls: FileCalls = realFileCalls): Promise<void> {
  try {
    const first = await calls.mkdir(directory, { recursive: true, mode })
    if (first === undefined) return
    for (let made = directory; made.length >= first.length; made = path.dirname(made)) {
      await syncDirectory(path.dirname(made), calls)
    }
  } catch (error) {
    throw fileError(error, directory, 'make this folder')
  }
}

/** Makes what happened to a folder's entries survive a power loss, where the file system can. */
export async function syncDirectory(directory: string, calls: FileCalls = realFileCalls): Promise<void> {
  const handle = await calls.open(directory, 'r')
  try {
    await handle.sync()
  } catch (error) {
    // Some network and user-space file systems cannot sync a folder; there is nothing more that can be done on them.
    if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(systemCode(error) ?? '')) throw error
  } finally {
    await handle.close()
  }
}

const hints: Readonly<Record<string, string>> = {
  ENOSPC: 'make room on that file system, then run it again',
  EDQUOT: 'make room within the quota, then run it again',
  EROFS: 'the file system is read-only: mount it writable, then run it again',
  EACCES: 'give this user the right to write there, then run it again',
  EPERM: 'give this user the right to write there, then run it again',
  EIO: 'the disk or the connection to it has a fault: look at the system log',
}

/** A system error as `unavailable`, naming the path and what was to be done there; an EnvError stays what it is. */
export function fileError(error: unknown, file: string, action: string): EnvError {
  if (error instanceof EnvError) return error
  const code = systemCode(error) ?? 'failed'
  const hint = hints[code]
  return new EnvError('unavailable', `${file}: could not ${action}: ${code}`, {
    cause: new Error(messageOf(error)),
    ...(hint === undefined ? {} : { hint }),
    details: { path: file, systemCode: code },
  })
}

async function writeSynced(file: string, parts: readonly Uint8Array[], mode: number, calls: FileCalls): Promise<void> {
  const handle = await calls.open(file, 'wx', mode)
  try {
    let bytes = 0
    for (const part of parts) {
      await writeAll(handle, part)
      bytes += part.length
    }
    await handle.sync()
    const { size } = await handle.stat()
    if (size !== bytes) throw new EnvError('unavailable', `${file}: wrote ${bytes} bytes, but ${size} are there`)
  } finally {
    await handle.close()
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done)
    done += bytesWritten
  }
}

/** The file systems without hard links answer with one of these. */
const noLinks = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])

async function giveName(temporary: string, file: string, calls: FileCalls): Promise<'created' | 'exists'> {
  try {
    await calls.link(temporary, file)
    return 'created'
  } catch (error) {
    const code = systemCode(error) ?? ''
    if (code === 'EEXIST') return 'exists'
    if (!noLinks.has(code)) throw error
    return renameExclusively(temporary, file, calls)
  }
}

const lockPatienceMs = 30_000

/** `rename` replaces what has the name, so whoever makes `<temporary folder>/<name>.lock` first may look and rename. */
async function renameExclusively(temporary: string, file: string, calls: FileCalls): Promise<'created' | 'exists'> {
  const lock = path.join(path.dirname(temporary), `${path.basename(file)}.lock`)
  for (;;) {
    try {
      await (await calls.open(lock, 'wx')).close()
      break
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error
      await giveUpOldLock(lock, temporary, calls)
    }
  }
  try {
    if (await exists(file)) return 'exists'
    await calls.rename(temporary, file)
    return 'created'
  } finally {
    await calls.unlink(lock).catch(() => {})
  }
}

/** Takes away a lock that is older than any holder needs; by the file system's own clock, which stamps both files. */
async function giveUpOldLock(lock: string, temporary: string, calls: FileCalls): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20))
  const handle = await calls.open(temporary, 'r+')
  try {
    await handle.chmod((await handle.stat()).mode & 0o7777) // stamps ctime with the file system's time of now
    const [held, mine] = await Promise.all([stat(lock), handle.stat()])
    if (mine.ctimeMs - held.mtimeMs > lockPatienceMs) await calls.unlink(lock)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  } finally {
    await handle.close()
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file)
    return true
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false
    throw error
  }
}
