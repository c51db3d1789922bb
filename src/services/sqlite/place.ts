import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rm, statfs } from 'node:fs/promises'
import path from 'node:path'
import { EnvError, systemCode } from '../../domain/errors.ts'
import { identify, isAlive, type ProcessIdentity } from '../../system/process-identity.ts'

/** Enough for headers, journals and folder entries beside the copies. */
const spareBytes = 1_048_576

/** Refuses, before anything is written, what would fill the file system. */
export async function requireRoom(directory: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory)
  const free = bavail * bsize
  if (free >= bytes + spareBytes) return
  throw new EnvError('unavailable', `${directory}: ${bytes} bytes are needed for a copy, ${free} are free`, {
    hint: 'make room on that file system and run the command again',
    details: { path: directory, needed: bytes, free },
  })
}

/**
 * Makes a folder for copies that live as long as one capture; its name says whose it is.
 * Folders of processes that are gone, killed before they could tidy up, are removed first.
 */
export async function temporaryPlace(privateDirectory: string): Promise<string> {
  await mkdir(privateDirectory, { recursive: true, mode: 0o700 })
  await removeStale(privateDirectory)
  const { pid, started, host } = identify(process.pid)
  const owner = Buffer.from(JSON.stringify({ pid, started, host })).toString('base64url')
  const place = path.join(privateDirectory, `copy-${randomBytes(4).toString('hex')}-${owner}`)
  await mkdir(place, { mode: 0o700 })
  return place
}

async function removeStale(privateDirectory: string): Promise<void> {
  for (const name of await readdir(privateDirectory)) {
    const owner = /^copy-[0-9a-f]{8}-([\w-]+)$/.exec(name)?.[1]
    if (owner === undefined) continue
    const identity = JSON.parse(Buffer.from(owner, 'base64url').toString()) as ProcessIdentity
    if (!isAlive(identity)) await remove(path.join(privateDirectory, name))
  }
}

export async function remove(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true })
}

/** Names in a folder; none when there is no folder. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
}
