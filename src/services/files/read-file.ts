import { type BigIntStats, closeSync, constants, fstatSync, openSync, read, readSync } from 'node:fs'
import { promisify } from 'node:util'
import type { ChunkProfile, Content, ContentSink } from '../../domain/content.ts'
import { cancelled, systemCode } from '../../domain/errors.ts'
import { identityOf } from './identity.ts'
import { at, type Mount } from './mount.ts'
import { unreadable } from './walk.ts'

export type ReadResult = {
  readonly content: Content
  /** Of the file when it was read. */
  readonly stat: BigIntStats
  /** It has holes and whole blocks of zeros. */
  readonly sparse: boolean
  /** It did not change while it was read. */
  readonly stable: boolean
}

/** Where the bytes of one file go; a {@link ContentSink}, or something that only hashes. A part is valid until the next is asked for. */
export type ByteTaker = (profile: ChunkProfile, bytes: AsyncIterable<Uint8Array> | Uint8Array) => Promise<Content>

export function takeInto(sink: ContentSink): ByteTaker {
  return (profile, bytes) => sink.write(profile, bytes)
}

const pieceBytes = 1 << 20
/** As many as files were ever read at a time. Buffers made anew for each piece would cost more than reading: in page faults and full collections. */
const spareBuffers: Buffer[] = []
const attempts = 4
const readAsync = promisify(read)
const binaryBytes = 8 << 20
/** Smallest run of zeros that is written as a hole: a block of most file systems. */
export const holeBytes = 4096
const zeros = Buffer.alloc(holeBytes)

/**
 * Reads a regular file without following symlinks; undefined when it vanished or is no longer one. A file that changes while it is read is
 * read again; one that changes all the time is given as it was read last, not `stable`.
 */
export async function readStable(mount: Mount, path: string, take: ByteTaker): Promise<ReadResult | undefined> {
  const buffer = spareBuffers.pop() ?? Buffer.allocUnsafeSlow(pieceBytes + 1)
  try {
    return await readInto(buffer, mount, path, take)
  } finally {
    spareBuffers.push(buffer)
  }
}

async function readInto(buffer: Buffer, mount: Mount, path: string, take: ByteTaker): Promise<ReadResult | undefined> {
  for (let attempt = 1; ; attempt++) {
    if (mount.signal.aborted) throw cancelled()
    const descriptor = openRegular(mount, path)
    if (descriptor === undefined) return undefined
    try {
      const before = fstatSync(descriptor, { bigint: true })
      if (!before.isFile()) return undefined
      const isLast = attempt === attempts
      const result = await (before.size <= pieceBytes
        ? readSmall(descriptor, before, { buffer, take, anyway: isLast })
        : readLarge(mount, descriptor, before, { buffer, take }))
      if (result && (result.stable || isLast)) return result
    } catch (error) {
      throw isSystemError(error) ? unreadable(mount, path, error) : error
    } finally {
      closeSync(descriptor)
    }
  }
}

function isSystemError(error: unknown): boolean {
  return (error as { syscall?: unknown }).syscall !== undefined && systemCode(error) !== undefined
}

function openRegular(mount: Mount, path: string): number | undefined {
  try {
    // O_NONBLOCK: a pipe that took the file's place must not make us wait for its writer.
    return openSync(at(mount, path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'EMLINK'].includes(systemCode(error) ?? '')) return undefined
    throw unreadable(mount, path, error)
  }
}

/** The bytes of a file that does not change meanwhile, without a turn of the event loop; undefined when they cannot be had so. */
export function readNow(
  mount: Mount,
  path: string,
  mostBytes: number,
): { readonly bytes: Buffer; readonly stat: BigIntStats; readonly sparse: boolean } | undefined {
  const descriptor = openRegular(mount, path)
  if (descriptor === undefined) return undefined
  try {
    const stat = fstatSync(descriptor, { bigint: true })
    if (!stat.isFile() || stat.size > mostBytes) return undefined
    const bytes = Buffer.allocUnsafeSlow(Number(stat.size) + 1)
    const whole = fill(descriptor, bytes) === Number(stat.size) && isSame(stat, descriptor)
    const read = bytes.subarray(0, Number(stat.size))
    return whole ? { bytes: read, stat, sparse: hasHoles(stat) && hasZeroBlock(read) } : undefined
  } finally {
    closeSync(descriptor)
  }
}

/** Reads from where the file stands until the buffer is full or the file ends; how many bytes that were. */
function fill(descriptor: number, buffer: Uint8Array): number {
  let length = 0
  for (let more = -1; more !== 0 && length < buffer.length; length += more)
    more = readSync(descriptor, buffer, length, buffer.length - length, null)
  return length
}

/** The bytes are whole and known to be untorn before they go anywhere. */
async function readSmall(
  descriptor: number,
  before: BigIntStats,
  { buffer, take, anyway }: { readonly buffer: Buffer; readonly take: ByteTaker; readonly anyway: boolean },
): Promise<ReadResult | undefined> {
  // One byte more than the file has: where that is read too, it has grown.
  const length = fill(descriptor, buffer.subarray(0, Number(before.size) + 1))
  const stable = isSame(before, descriptor) && length === Number(before.size)
  if (!stable && !anyway) return undefined
  const bytes = buffer.subarray(0, length)
  const sparse = hasHoles(before) && hasZeroBlock(bytes)
  return { content: await take('rows', bytes), stat: before, sparse, stable }
}

async function readLarge(
  mount: Mount,
  descriptor: number,
  before: BigIntStats,
  { buffer, take }: { readonly buffer: Buffer; readonly take: ByteTaker },
): Promise<ReadResult> {
  const isText = !buffer.subarray(0, readSync(descriptor, buffer, 0, 8192, 0)).includes(0)
  const profile = isText || before.size < binaryBytes ? 'rows' : 'binary'
  let zeroBlock = false
  async function* pieces(): AsyncGenerator<Uint8Array> {
    // Not to its end: something that is always added to has none.
    for (let position = 0; position < before.size; ) {
      if (mount.signal.aborted) throw cancelled()
      const wanted = Math.min(pieceBytes, Number(before.size) - position)
      // On the thread pool: so that packs are written meanwhile, each step of which needs a turn of the event loop.
      const { bytesRead } = await readAsync(descriptor, buffer, 0, wanted, position)
      if (bytesRead === 0) return
      position += bytesRead
      const piece = buffer.subarray(0, bytesRead)
      zeroBlock ||= hasHoles(before) && hasZeroBlock(piece)
      yield piece
    }
  }
  const content = await take(profile, pieces())
  const stable = isSame(before, descriptor) && content.bytes === Number(before.size)
  return { content, stat: before, sparse: zeroBlock, stable }
}

function isSame(before: BigIntStats, descriptor: number): boolean {
  return identityOf(before) === identityOf(fstatSync(descriptor, { bigint: true }))
}

/** Fewer blocks than bytes; that alone also shows on file systems that compress, or that count blocks late. */
function hasHoles(stat: BigIntStats): boolean {
  return stat.blocks * 512n < stat.size
}

function hasZeroBlock(bytes: Buffer): boolean {
  for (let start = 0; start + holeBytes <= bytes.length; start += holeBytes) {
    if (isZeroBlock(bytes, start)) return true
  }
  return false
}

export function isZeroBlock(bytes: Buffer, start: number): boolean {
  return bytes[start] === 0 && zeros.compare(bytes, start, start + holeBytes) === 0
}
