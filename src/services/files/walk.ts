import { type BigIntStats, lstatSync, readdirSync, readlinkSync } from 'node:fs'
import { cancelled, EnvError, systemCode } from '../../domain/errors.ts'
import { displayPath, type TreeEntry } from '../../domain/tree.ts'
import { at, type Mount } from './mount.ts'

/** Something below a mount that a snapshot can hold. */
export type LiveEntry = {
  readonly path: string
  readonly type: 'file' | 'directory' | 'symlink'
  readonly stat: BigIntStats
  /** Of a file with several names: the first of them in this walk, when it is not this one. */
  readonly link: string | undefined
  /** Of a symlink that was looked at already: where it points to. */
  readonly target?: string | undefined
}

/** What a walk found besides its entries. */
export type WalkNotes = {
  /** A folder, right before its names are read. */
  readonly folder?: (path: string) => void
  /** Left alone as foreign or excluded, or of a kind that cannot be captured. */
  readonly leftAlone?: (path: string) => void
  /** Sockets, pipes and devices. */
  readonly unsupported?: (path: string, kind: string) => void
}

type Level = { readonly path: string; readonly names: readonly string[]; next: number }

/**
 * Everything below the mount's folder, in the order of a listing, the folder itself first; nothing when it does not exist, and a file or
 * symlink that has taken its place alone. Names are read
 * as bytes and no symlink is followed. What vanishes while it is looked at is left out. Synchronous, since one call into the kernel is far
 * cheaper than a hop over the thread pool: callers pause now and then (see {@link Pauses}).
 */
export function* walk(mount: Mount, notes: WalkNotes = {}): Generator<LiveEntry> {
  const top = lstat(mount, '')
  if (!top) return
  const firstNames = new Map<string, string>()
  yield { path: '', type: rootType(mount, top), stat: top, link: undefined }
  if (!top.isDirectory()) return
  const namesOf = (path: string) => {
    notes.folder?.(path)
    return namesIn(mount, path)
  }
  const levels: Level[] = [{ path: '', names: namesOf(''), next: 0 }]
  for (let level = levels.at(-1); level; level = levels.at(-1)) {
    const name = level.names[level.next++]
    if (name === undefined) {
      levels.pop()
      continue
    }
    const path = level.path === '' ? name : `${level.path}/${name}`
    if (mount.scope.leavesAlone(path)) {
      notes.leftAlone?.(path)
      continue
    }
    const stat = lstat(mount, path)
    if (!stat) continue
    const type = typeOf(stat)
    if (type === undefined) {
      notes.leftAlone?.(path)
      notes.unsupported?.(path, kindOf(stat))
      continue
    }
    yield { path, type, stat, link: type === 'file' ? firstName(firstNames, path, stat) : undefined }
    if (type === 'directory') levels.push({ path, names: namesOf(path), next: 0 })
  }
}

function rootType(mount: Mount, top: BigIntStats): LiveEntry['type'] {
  const type = typeOf(top)
  if (type !== undefined) return type
  throw new EnvError('refused', `mount ${mount.name}: ${displayPath(mount.root)} is a ${kindOf(top)}`, {
    hint: 'a mount is a folder: remove what is in its place',
  })
}

function firstName(firsts: Map<string, string>, path: string, stat: BigIntStats): string | undefined {
  if (stat.nlink === 1n) return undefined
  const inode = `${stat.dev}:${stat.ino}`
  const first = firsts.get(inode)
  if (first === undefined) firsts.set(inode, path)
  return first
}

/** undefined when there is nothing of this name (any more). */
export function lstat(mount: Pick<Mount, 'root'>, path: string): BigIntStats | undefined {
  try {
    return lstatSync(at(mount, path), { bigint: true, throwIfNoEntry: false })
  } catch (error) {
    if (systemCode(error) === 'ENOTDIR') return undefined
    throw unreadable(mount, path, error)
  }
}

function namesIn(mount: Mount, path: string): string[] {
  try {
    return readdirSync(at(mount, path), { encoding: 'latin1' }).sort()
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw unreadable(mount, path, error)
  }
}

/** A snapshot is whole or absent: what cannot be read stops it, by name. */
export function unreadable(mount: Pick<Mount, 'root'>, path: string, error: unknown): EnvError {
  const code = systemCode(error) ?? 'failed'
  const full = displayPath(path === '' ? mount.root : `${mount.root}/${path}`)
  return new EnvError('unavailable', `${full}: cannot be read: ${code}`, {
    cause: error,
    hint:
      code === 'EACCES' || code === 'EPERM'
        ? 'give this user the right to read it, or take it out of the mount with exclude'
        : 'mend it, or take it out of the mount with exclude',
    details: { path: full, systemCode: code },
  })
}

export function typeOf(stat: BigIntStats): LiveEntry['type'] | undefined {
  if (stat.isFile()) return 'file'
  if (stat.isDirectory()) return 'directory'
  return stat.isSymbolicLink() ? 'symlink' : undefined
}

function kindOf(stat: BigIntStats): string {
  if (stat.isSocket()) return 'socket'
  return stat.isFIFO() ? 'pipe' : 'device'
}

/** Lets the event loop run, and an abort through, once in a few hundred steps of synchronous work. */
export class Pauses {
  readonly #signal: AbortSignal
  #steps = 0

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** A promise to wait for when a pause is due. */
  due(weight = 1): Promise<void> | undefined {
    this.#steps += weight
    if (this.#steps < 256) return undefined
    this.#steps = 0
    return new Promise((resolve, reject) => {
      setImmediate(() => (this.#signal.aborted ? reject(cancelled()) : resolve()))
    })
  }
}

/** What a listing keeps of an inode besides its bytes. */
export type Metadata = Pick<TreeEntry, 'mode' | 'uid' | 'gid' | 'mtimeNs'>

export function metadataOf(stat: BigIntStats): Metadata {
  return { mode: Number(stat.mode & 0o7777n), uid: Number(stat.uid), gid: Number(stat.gid), mtimeNs: stat.mtimeNs }
}

/** Where a symlink points, as a byte string; undefined when it is gone. */
export function linkTarget(mount: Pick<Mount, 'root'>, path: string): string | undefined {
  try {
    return readlinkSync(at(mount, path), { encoding: 'latin1' })
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EINVAL'].includes(systemCode(error) ?? '')) return undefined
    throw unreadable(mount, path, error)
  }
}
