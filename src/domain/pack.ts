import { createHash } from 'node:crypto'
import { maxChunkBytes } from './chunker.ts'
import { EnvError } from './errors.ts'

/**
 * The bytes of a pack (docs/format.md): a header, then frames, then a footer. A frame holds one or more chunks behind a head that says
 * which; the footer repeats all heads (the *directory*), so that one small read at the end tells what a pack holds. Integers are little-endian.
 */
const packMagic = Buffer.from('gitenvpk', 'latin1')
const footerMagic = Buffer.from('gitenvft', 'latin1')
const packVersion = 1
/** Magic and version. */
export const packHeadBytes = 12
/** Directory length, frame count, SHA-256 of the directory, magic. */
export const packTailBytes = 48
const frameHeadBytes = 16
export const chunkRecordBytes = 36
export const idBytes = 32
/** A pack is written when the next frame would make it longer than this. */
export const packTargetBytes = 16 * 1024 * 1024
/** A longer pack is refused when read. */
export const maxPackBytes = 64 * 1024 * 1024
/** Chunks gather in a frame up to this many plain bytes; a longer chunk has a frame of its own. */
export const frameTargetBytes = 1024 * 1024
export const maxFrameBytes = maxChunkBytes
export const maxFrameChunks = 4096

export const frameMethods = { raw: 0, zstd: 1 } as const
export type FrameMethod = (typeof frameMethods)[keyof typeof frameMethods]

/** One frame as its head tells it. `table` holds, per chunk, its length (4 bytes) and its id (32 bytes). */
export type FrameHead = {
  readonly method: FrameMethod
  readonly chunks: number
  readonly plainBytes: number
  readonly storedBytes: number
  readonly table: Uint8Array
}

/** A frame head and where in the pack the frame's head begins. */
export type PlacedFrame = FrameHead & { readonly offset: number }

export function packHead(): Buffer {
  const head = Buffer.alloc(packHeadBytes)
  packMagic.copy(head)
  head.writeUInt32LE(packVersion, 8)
  return head
}

/** What a frame's head and table take before its stored bytes. */
export function headBytesOf(chunks: number): number {
  return frameHeadBytes + chunks * chunkRecordBytes
}

export function encodeFrameHead(head: FrameHead): Buffer {
  const bytes = Buffer.alloc(headBytesOf(head.chunks))
  bytes.writeUInt32LE(head.method, 0)
  bytes.writeUInt32LE(head.chunks, 4)
  bytes.writeUInt32LE(head.plainBytes, 8)
  bytes.writeUInt32LE(head.storedBytes, 12)
  bytes.set(head.table, frameHeadBytes)
  return bytes
}

/** The frame head at `offset`; its table is a view. Throws `damaged` when the numbers cannot be. */
export function decodeFrameHead(bytes: Uint8Array, offset: number): FrameHead {
  if (offset + frameHeadBytes > bytes.length) throw damaged('ends inside a frame head')
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset)
  const method = view.getUint32(0, true)
  const chunks = view.getUint32(4, true)
  const plainBytes = view.getUint32(8, true)
  const storedBytes = view.getUint32(12, true)
  if (method !== frameMethods.raw && method !== frameMethods.zstd) {
    throw damaged(`has a frame of the unknown method ${method}`)
  }
  if (chunks === 0 || chunks > maxFrameChunks) throw damaged(`has a frame with ${chunks} chunks`)
  if (plainBytes > maxFrameBytes) throw damaged(`has a frame of ${plainBytes} bytes`)
  if (method === frameMethods.raw ? storedBytes !== plainBytes : storedBytes >= plainBytes) {
    throw damaged('has a frame whose lengths do not agree')
  }
  const table = bytes.subarray(offset + frameHeadBytes, offset + headBytesOf(chunks))
  if (table.length !== chunks * chunkRecordBytes) throw damaged('ends inside a frame head')
  const head: FrameHead = { method, chunks, plainBytes, storedBytes, table }
  let sum = 0
  for (let i = 0; i < chunks; i++) sum += chunkLength(head, i)
  if (sum !== plainBytes) throw damaged('has a frame whose lengths do not agree')
  return head
}

export function chunkLength(head: FrameHead, chunk: number): number {
  const at = chunk * chunkRecordBytes
  const { table } = head
  return (table[at]! | (table[at + 1]! << 8) | (table[at + 2]! << 16) | (table[at + 3]! << 24)) >>> 0
}

/** A view of the chunk's 32 bytes of id. */
export function chunkId(head: FrameHead, chunk: number): Uint8Array {
  const at = chunk * chunkRecordBytes + 4
  return head.table.subarray(at, at + idBytes)
}

export function encodeFooter(directory: Uint8Array, frames: number): Buffer {
  const footer = Buffer.allocUnsafe(directory.length + packTailBytes)
  footer.set(directory, 0)
  footer.writeUInt32LE(directory.length, directory.length)
  footer.writeUInt32LE(frames, directory.length + 4)
  createHash('sha256')
    .update(directory)
    .digest()
    .copy(footer, directory.length + 8)
  footerMagic.copy(footer, directory.length + 40)
  return footer
}

/** The last bytes of a pack: how long its directory is, how many frames, and the directory's SHA-256 (hex). */
export type PackTail = { readonly directoryBytes: number; readonly frames: number; readonly digest: string }

export function decodeTail(tail: Uint8Array, packBytes: number): PackTail {
  const bytes = Buffer.from(tail.buffer, tail.byteOffset, tail.byteLength)
  if (bytes.length !== packTailBytes || !bytes.subarray(40).equals(footerMagic)) throw damaged('has no footer')
  const directoryBytes = bytes.readUInt32LE(0)
  if (directoryBytes > packBytes - packHeadBytes - packTailBytes) throw damaged('has a footer longer than itself')
  return { directoryBytes, frames: bytes.readUInt32LE(4), digest: bytes.toString('hex', 8, 40) }
}

/** The frames that a directory names. Throws `damaged` unless they fill a pack of `packBytes` exactly. */
export function decodeDirectory(directory: Uint8Array, packBytes: number): readonly PlacedFrame[] {
  const frames: PlacedFrame[] = []
  let offset = packHeadBytes
  let at = 0
  while (at < directory.length) {
    const head = decodeFrameHead(directory, at)
    frames.push({ ...head, offset })
    at += headBytesOf(head.chunks)
    offset += headBytesOf(head.chunks) + head.storedBytes
  }
  if (frames.length === 0 || offset + directory.length + packTailBytes !== packBytes) {
    throw damaged('has a directory that does not fit it')
  }
  return frames
}

export function checkPackHead(head: Uint8Array): void {
  if (Buffer.compare(head.subarray(0, 8), packMagic) !== 0) throw damaged('does not begin as a pack')
  const version = Buffer.from(head).readUInt32LE(8)
  if (version !== packVersion) throw damaged(`has the unknown version ${version}`)
}

function damaged(what: string): EnvError {
  return new EnvError('damaged', `a pack ${what}`)
}
