import { createHash } from 'node:crypto'
import {
  type BigIntStats,
  chmodSync,
  closeSync,
  fsyncSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs'
import type { ContentSource } from '../../domain/content.ts'
import { EnvError, systemCode } from '../../domain/errors.ts'
import { displayPath, parentPath, type TreeEntry } from '../../domain/tree.ts'
import { fileError } from '../../system/durable-file.ts'
import { setFileTimes, setFolderTimes, syncFileSystem } from './exact-times.ts'
import { syncFolder } from './place.ts'
import { holeBytes, isZeroBlock } from './read-file.ts'
import { TarExtraction } from './tar-extraction.ts'
import { Pauses } from './walk.ts'

/** One entry and where to write it: byte-string paths below the folder that is written into. */
export type Placed = {
  readonly place: string
  readonly entry: TreeEntry
  /** Of a hard link: the place of the name that holds the content. */
  readonly linkPlace?: string
}

export type WriteOptions = {
  readonly source: ContentSource
  readonly signal: AbortSignal
  readonly progress: (bytes: number) => void
}

export type Written = {
  /** What stands at each place now, in the order given. */
  readonly stats: readonly BigIntStats[]
  /** Entries that belong to another user or group than they should. */
  readonly foreignOwners: number
  /** Entries whose mtime is not exact. */
  readonly inexactTimes: number
}

/** A file of holes is not given to tar: zero blocks of it are left out while it is written. */
const isSparse = ({ entry }: Placed) => entry.sparse === true && entry.content !== undefined

/** So many files are made durable together: a sync of the whole file system also waits for what others wrote. */
const syncAtOnce = 200

/**
 * Writes entries below a folder (a folder before what it holds, nothing there yet), durable, reads them back and compares: contents by SHA-256, metadata by stat.
 * Throws `unavailable` where something could not be written, `damaged` where it is not what was to be written.
 */
export async function writeEntries(base: Buffer, items: readonly Placed[], options: WriteOptions): Promise<Written> {
  if (items.length === 0) return { stats: [], foreignOwners: 0, inexactTimes: 0 }
  const at = (place: string) => (place === '' ? base : Buffer.concat([base, Buffer.from(`/${place}`, 'latin1')]))
  try {
    await writeContents(base, items, options, at)
    for (const { place, linkPlace } of items) if (linkPlace !== undefined) linkSync(at(linkPlace), at(place))
    await setFileTimes(items.filter(isSparse).map(({ place, entry }) => ({ file: at(place), mtimeNs: entry.mtimeNs })))
    // One by one is dear for many files; after a sync of all it costs next to nothing.
    if (items.length > syncAtOnce) await syncFileSystem(base.toString('utf8'))
    await compareContents(items, options, at)
    let foreignOwners = 0
    const isFolder = ({ entry }: Placed) => entry.type === 'directory'
    for (const item of items.filter((each) => !isFolder(each)))
      foreignOwners += setOwnerAndMode(at(item.place), item.entry)
    await mendTimes(
      items.filter((item) => !isFolder(item)),
      at,
    )
    const folders = items.filter(isFolder)
    const times = folders.map(({ place, entry }) => ({ path: place, mtimeNs: entry.mtimeNs, mode: 0o700 }))
    await setFolderTimes(base, times, options.signal)
    for (const item of folders.toReversed()) foreignOwners += setOwnerAndMode(at(item.place), item.entry)
    for (const folder of new Set(items.map(({ place }) => parentPath(place)))) syncFolder(at(folder))
    const stats = items.map(({ place }) => lstatSync(at(place), { bigint: true }))
    const inexactTimes = stats.filter((stat, i) => stat.mtimeNs !== items[i]!.entry.mtimeNs).length
    return { stats, foreignOwners, inexactTimes }
  } catch (error) {
    throw fileError(error, displayPath(base.toString('latin1')), 'write the files of the snapshot')
  }
}

type At = (place: string) => Buffer

async function writeContents(base: Buffer, items: readonly Placed[], options: WriteOptions, at: At): Promise<void> {
  let tar: TarExtraction | undefined
  try {
    for (const item of items) {
      const { place, entry, linkPlace } = item
      if (entry.type === 'directory') mkdirSync(at(place), 0o700)
      else if (isSparse(item)) await writeSparse(at(place), entry, options.source)
      else if (linkPlace === undefined) {
        const content = entry.content && options.source.read(entry.content)
        tar ??= new TarExtraction(base.toString('utf8'), options.signal)
        await tar.add({ ...entry, path: place, mode: 0o600, bytes: entry.content?.bytes ?? 0 }, content)
      }
      options.progress(entry.content?.bytes ?? 0)
    }
    await tar?.finish()
  } finally {
    await tar?.abort()
  }
}

async function writeSparse(file: Buffer, entry: TreeEntry, source: ContentSource): Promise<void> {
  const descriptor = openSync(file, 'wx', 0o600)
  try {
    let position = 0
    let waiting = Buffer.alloc(0)
    const writeBlocks = (bytes: Buffer) => {
      for (let start = 0; start < bytes.length; start += holeBytes) {
        const block = bytes.subarray(start, start + holeBytes)
        if (block.length < holeBytes || !isZeroBlock(block, 0)) writeSync(descriptor, block, 0, block.length, position)
        position += block.length
      }
    }
    for await (const part of source.read(entry.content!)) {
      waiting = Buffer.concat([waiting, part])
      const whole = waiting.length - (waiting.length % holeBytes)
      writeBlocks(waiting.subarray(0, whole))
      waiting = waiting.subarray(whole)
    }
    writeBlocks(waiting)
    ftruncateSync(descriptor, position)
  } finally {
    closeSync(descriptor)
  }
}

/** Reads every file back, and makes those durable that the file system's own sync did not. */
async function compareContents(items: readonly Placed[], { signal }: WriteOptions, at: At): Promise<void> {
  const pauses = new Pauses(signal)
  const buffer = Buffer.allocUnsafe(1 << 20)
  for (const { place, entry } of items) {
    await pauses.due()
    if (!entry.content) continue
    const descriptor = openSync(at(place), 'r')
    try {
      fsyncSync(descriptor)
      const digest = createHash('sha256')
      let bytes = 0
      for (let read = -1; read !== 0; bytes += read) {
        await pauses.due(read >> 12)
        read = readSync(descriptor, buffer)
        digest.update(buffer.subarray(0, read))
      }
      if (bytes === entry.content.bytes && digest.digest('hex') === entry.content.sha256) continue
    } finally {
      closeSync(descriptor)
    }
    throw new EnvError('damaged', `${displayPath(entry.path)}: what was written is not what the snapshot holds`, {
      hint: 'git env verify --data tells whether the store is damaged; if it is not, the disk or memory of this machine is',
    })
  }
}

/** 1 when the owner could not be set. The mode comes last: a new owner clears the setuid bits. */
export function setOwnerAndMode(file: Buffer, { uid, gid, mode }: Pick<TreeEntry, 'uid' | 'gid' | 'mode'>): number {
  let stat = lstatSync(file, { bigint: true })
  let refused = 0
  if (stat.uid !== BigInt(uid) || stat.gid !== BigInt(gid)) {
    refused = setOwner(file, uid, gid) ? 0 : 1
    stat = lstatSync(file, { bigint: true })
  }
  // A symlink has no mode of its own where it matters.
  if (!stat.isSymbolicLink() && (stat.mode & 0o7777n) !== BigInt(mode)) chmodSync(file, mode)
  return refused
}

function setOwner(file: Buffer, uid: number, gid: number): boolean {
  try {
    lchownSync(file, uid, gid)
    return true
  } catch (error) {
    if (!['EPERM', 'EINVAL'].includes(systemCode(error) ?? '')) throw error
    return false
  }
}

/** Where the system's tar sets whole seconds only, or sets no times of symlinks. */
async function mendTimes(items: readonly Placed[], at: At): Promise<void> {
  await setFileTimes(items.map(({ place, entry }) => ({ file: at(place), mtimeNs: entry.mtimeNs })))
}
