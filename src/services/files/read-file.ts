import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { ChunkProfile, Content, ContentSink } from '../../domain/content.ts'
import { systemCode } from '../../domain/errors.ts'
import { identityOf } from './identity.ts'
import { at, type Mount } from './mount.ts'
import { cancelled, unreadable } from './walk.ts'

export type ReadResult = {
  readonly content: Content
  /** Of the file when it was read. */
  readonly stat: BigIntStats
  /** It has holes and whole blocks of zeros. */
  readonly sparse: boolean
  /** It did not change while it was read. */
  readonly stable: boolean
}

/** Where the bytes of one file go; a {@link ContentSink}, or something that only hashes. */
export type ByteTaker = (profile: ChunkProfile, bytes: AsyncIterable<Uint8Array> | Uint8Array) => Promise<Content>

export function takeInto(sink: ContentSink): ByteTaker {
  return (profile, bytes) => sink.write(profile, bytes)
}

const readAtOnceBytes = 1 << 20
const pieceBytes = 1 << 20
const attempts = 4
const binaryBytes = 8 << 20
/** Smallest run of zeros that is written as a hole: a block of most file systems. */
export const holeBytes = 4096
const zeros = Buffer.alloc(holeBytes)

/**
 * Reads a regular file without following symlinks; undefined when it vanished or is no longer one. A file that changes while it is read is
 * read again; one that changes all the time is given as it was read last, not `stable`.
 */
export async function readStable(mount: Mount, path: string, take: ByteTaker): Promise<ReadResult | undefined> {
  for (let attempt = 1; ; attempt++) {
    if (mount.signal.aborted) throw cancelled()
    const descriptor = openRegular(mount, path)
    if (descriptor === undefined) return undefined
    try {
      const before = fstatSync(descriptor, { bigint: true })
      if (!before.isFile()) return undefined
      const isLast = attempt === attempts
      const result = await (before.size <= readAtOnceBytes
        ? readSmall(descriptor, before, take, isLast)
        : readLarge(mount, descriptor, before, take))
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

/** The bytes are whole and known to be untorn before they go anywhere. */
async function readSmall(
  descriptor: number,
  before: BigIntStats,
  take: ByteTaker,
  anyway: boolean,
): Promise<ReadResult | undefined> {
  const buffer = Buffer.allocUnsafe(Number(before.size) + 1)
  let length = 0
  for (let read = -1; read !== 0 && length < buffer.length; length += read)
    read = readSync(descriptor, buffer, length, buffer.length - length, null)
  const stable = isSame(before, descriptor) && length === Number(before.size)
  if (!stable && !anyway) return undefined
  const bytes = buffer.subarray(0, length)
  const sparse = hasHoles(before) && hasZeroBlock(bytes)
  return { content: await take('rows', bytes), stat: before, sparse, stable }
}

async function readLarge(mount: Mount, descriptor: number, before: BigIntStats, take: ByteTaker): Promise<ReadResult> {
  const head = Buffer.allocUnsafe(8192)
  const isText = !head.subarray(0, readSync(descriptor, head, 0, head.length, 0)).includes(0)
  const profile = isText || before.size < binaryBytes ? 'rows' : 'binary'
  let zeroBlock = false
  async function* pieces(): AsyncGenerator<Uint8Array> {
    // Not to its end: something that is always added to has none.
    for (let position = 0; position < before.size; ) {
      if (mount.signal.aborted) throw cancelled()
      const piece = Buffer.allocUnsafe(Math.min(pieceBytes, Number(before.size) - position))
      const length = readSync(descriptor, piece, 0, piece.length, position)
      if (length === 0) return
      position += length
      zeroBlock ||= hasHoles(before) && hasZeroBlock(piece.subarray(0, length))
      yield piece.subarray(0, length)
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
