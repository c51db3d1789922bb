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

/** Frames being compressed or waiting for room in a pack: this many keep two cores busy. */
const maxInFlight = 3

/** Takes a frame's encoded head and its stored bytes, which stay valid until the promise resolves. */
export type FrameConsumer = (head: Uint8Array, stored: Uint8Array) => Promise<void>

type OpenFrame = {
  readonly buffer: Uint8Array
  readonly table: Buffer
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

  #newFrame(firstBytes: number): OpenFrame {
    const pooled = firstBytes <= frameTargetBytes
    const buffer = pooled
      ? (this.#buffers.pop() ?? Buffer.allocUnsafeSlow(frameTargetBytes))
      : Buffer.allocUnsafeSlow(Math.min(firstBytes, maxFrameBytes))
    const table = this.#tables.pop() ?? Buffer.allocUnsafeSlow(maxFrameChunks * chunkRecordBytes)
    return { buffer, table, chunks: 0, bytes: 0 }
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
        if (frame.buffer.length === frameTargetBytes) this.#buffers.push(frame.buffer)
        this.#wake()
      })
  }

  async #finishFrame(frame: OpenFrame, kind: Kind): Promise<void> {
    const plain = frame.buffer.subarray(0, frame.bytes)
    const compressed = kind === 'random' ? undefined : await compressFrame(plain)
    const stored = compressed ?? plain
    const head: FrameHead = {
      method: compressed ? frameMethods.zstd : frameMethods.raw,
      chunks: frame.chunks,
      plainBytes: plain.length,
      storedBytes: stored.length,
      table: frame.table.subarray(0, frame.chunks * chunkRecordBytes),
    }
    await this.#consume(encodeFrameHead(head), stored)
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}

function hasRoom(frame: OpenFrame, bytes: number): boolean {
  return frame.chunks < maxFrameChunks && frame.bytes + bytes <= frame.buffer.length
}

function append(frame: OpenFrame, id: Uint8Array, bytes: Uint8Array): void {
  frame.buffer.set(bytes, frame.bytes)
  frame.bytes += bytes.length
  const at = frame.chunks++ * chunkRecordBytes
  frame.table.writeUInt32LE(bytes.length, at)
  frame.table.set(id, at + 4)
}
