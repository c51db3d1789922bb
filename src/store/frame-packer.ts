import {
  chunkRecordBytes,
  encodeFrameHead,
  type FrameHead,
  frameMethods,
  frameTargetBytes,
  maxFrameBytes,
  maxFrameChunks,
} from '../domain/pack.ts'
import { compressFrame, looksRandom } from './compression.ts'
import { freeMemory } from './free-memory.ts'

/** Frames being compressed or waiting for room in a pack: this many keep two cores busy. */
const maxInFlight = 3

/** What looks random and is at least this long has a frame of its own. */
const aloneBytes = 256 * 1024

/** Takes a frame's encoded head and its stored bytes in pieces, which stay valid until the promise resolves. */
export type FrameConsumer = (head: Uint8Array, stored: readonly Uint8Array[]) => Promise<void>

type OpenFrame = {
  readonly buffer: Uint8Array
  readonly table: Buffer
  readonly room: number
  chunks: number
  bytes: number
}

type Kind = 'random' | 'other'

/**
 * Gathers chunks into frames of about 1 MiB and compresses those on the thread pool. What looks random goes into frames of its own,
 * which are not compressed. `add` makes its caller wait while too much is in flight, so memory stays bounded.
 */
export class FramePacker {
  readonly #consume: FrameConsumer
  readonly #open: Record<Kind, OpenFrame | undefined> = { random: undefined, other: undefined }
  readonly #buffers: Uint8Array[] = []
  readonly #longBuffers: Uint8Array[] = []
  readonly #tables: Buffer[] = []
  #inFlight = 0
  #waiting: (() => void)[] = []
  #failure: { readonly error: unknown } | undefined

  constructor(consume: FrameConsumer) {
    this.#consume = consume
  }

  /** Takes in a chunk (its bytes are copied before this resolves). */
  async add(id: Uint8Array, bytes: Uint8Array): Promise<void> {
    const kind: Kind = looksRandom(bytes) ? 'random' : 'other'
    if (kind === 'random' && bytes.length >= aloneBytes) return this.#addAlone(id, bytes)
    for (;;) {
      this.check()
      const frame = this.#open[kind]
      if (frame && hasRoom(frame, bytes.length)) return append(frame, id, bytes)
      if (frame) this.#seal(kind)
      if (this.#inFlight >= maxInFlight) await new Promise<void>((resolve) => this.#waiting.push(resolve))
      else this.#open[kind] = this.#newFrame(bytes.length)
    }
  }

  /** Ends the open frames and waits until every frame was consumed. */
  async flush(): Promise<void> {
    this.#seal('random')
    this.#seal('other')
    while (this.#inFlight > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.check()
  }

  /** Stops: drops the open frames, makes everyone who waits or comes later fail with this error. */
  async stop(error: unknown): Promise<void> {
    this.#failure ??= { error }
    this.#open.random = undefined
    this.#open.other = undefined
    this.#wake()
    while (this.#inFlight > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Throws what made an earlier frame fail. */
  check(): void {
    if (this.#failure) throw this.#failure.error
  }

  /** A long chunk that is stored as it is needs no gathering: it goes straight into the pack. */
  async #addAlone(id: Uint8Array, bytes: Uint8Array): Promise<void> {
    this.check()
    const table = Buffer.allocUnsafe(chunkRecordBytes)
    table.writeUInt32LE(bytes.length, 0)
    table.set(id, 4)
    const sizes = { chunks: 1, plainBytes: bytes.length, storedBytes: bytes.length }
    this.#inFlight++
    try {
      await this.#consume(encodeFrameHead({ method: frameMethods.raw, ...sizes, table }), [bytes])
    } catch (error) {
      this.#failure ??= { error }
      throw error
    } finally {
      this.#inFlight--
      this.#wake()
    }
  }

  #newFrame(firstBytes: number): OpenFrame {
    const buffer =
      firstBytes <= frameTargetBytes
        ? (this.#buffers.pop() ?? Buffer.allocUnsafeSlow(frameTargetBytes))
        : (this.#longBuffers.pop() ?? Buffer.allocUnsafeSlow(maxFrameBytes))
    const table = this.#tables.pop() ?? Buffer.allocUnsafeSlow(maxFrameChunks * chunkRecordBytes)
    return { buffer, table, chunks: 0, bytes: 0, room: Math.max(firstBytes, frameTargetBytes) }
  }

  #seal(kind: Kind): void {
    const frame = this.#open[kind]
    if (!frame) return
    this.#open[kind] = undefined
    this.#inFlight++
    this.#finishFrame(frame, kind)
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .finally(() => {
        this.#inFlight--
        this.#tables.push(frame.table)
        const buffers = frame.buffer.length === maxFrameBytes ? this.#longBuffers : this.#buffers
        buffers.push(frame.buffer)
        this.#wake()
      })
  }

  async #finishFrame(frame: OpenFrame, kind: Kind): Promise<void> {
    const plain = frame.buffer.subarray(0, frame.bytes)
    const compressed = kind === 'random' ? undefined : await compressFrame(plain)
    const stored = compressed ?? [plain]
    const head: FrameHead = {
      method: compressed ? frameMethods.zstd : frameMethods.raw,
      chunks: frame.chunks,
      plainBytes: plain.length,
      storedBytes: stored.reduce((sum, piece) => sum + piece.length, 0),
      table: frame.table.subarray(0, frame.chunks * chunkRecordBytes),
    }
    await this.#consume(encodeFrameHead(head), stored)
    for (const piece of compressed ?? []) freeMemory(piece)
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}

function hasRoom(frame: OpenFrame, bytes: number): boolean {
  return frame.chunks < maxFrameChunks && frame.bytes + bytes <= frame.room
}

function append(frame: OpenFrame, id: Uint8Array, bytes: Uint8Array): void {
  frame.buffer.set(bytes, frame.bytes)
  frame.bytes += bytes.length
  const at = frame.chunks++ * chunkRecordBytes
  frame.table.writeUInt32LE(bytes.length, at)
  frame.table.set(id, at + 4)
}
