import { createHash } from 'node:crypto'
import type { ChunkProfile } from './content.ts'

/** Bytes. A chunk is never longer than `max`, and shorter than `min` only at the end of its content. */
export type ChunkSizes = { readonly min: number; readonly average: number; readonly max: number }

const kibi = 1024
const mebi = 1024 * 1024

/** Recorded in every store's `format` object; a store with others is refused, since its chunks would not be found again. */
export const chunkSizes: Readonly<Record<ChunkProfile, ChunkSizes>> = {
  rows: { min: 16 * kibi, average: 64 * kibi, max: 256 * kibi },
  binary: { min: 256 * kibi, average: mebi, max: 4 * mebi },
  pages: { min: 32 * kibi, average: 32 * kibi, max: 32 * kibi },
  listing: { min: 16 * kibi, average: 64 * kibi, max: 256 * kibi },
}

export const maxChunkBytes = 4 * mebi

/** What the gear table is made from; part of the format. */
export const gearSeed = 'git-env gear 1'

/** Entry i is the first four bytes, little-endian, of SHA-256(seed, one byte i). */
function gearTable(seed: string): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) =>
    createHash('sha256').update(seed).update(Uint8Array.of(byte)).digest().readInt32LE(0),
  )
}

const gear = gearTable(gearSeed)

/** The gear hash depends on this many bytes, so hashing starts that far ahead of the first possible cut. */
const windowBytes = 32

/** How far the two masks lie from the average, in bits: sizes gather more closely around it (normalized chunking). */
const normalization = 2

/**
 * Bytes scanned by one call. The engine compiles a function in full after many calls, not after a few long ones:
 * with short calls the scan runs at 1.5 GB/s from the first 50 MB on, with long ones it stays at a quarter of that for a gigabyte.
 */
const scanBytes = 512

/** The hash where {@link scan} ended without a cut. */
let rolled = 0

/** The index right after the byte where the hash meets the mask, or -1; goes on from the hash `start`. */
function scan(bytes: Uint8Array, from: number, to: number, start: number, mask: number): number {
  let hash = start
  for (let i = from; i < to; i++) {
    hash = ((hash << 1) + gear[bytes[i]!]!) | 0
    if ((hash & mask) === 0) return i + 1
  }
  rolled = hash
  return -1
}

/**
 * Finds where chunks end in a sequence of bytes that comes in parts (FastCDC: gear hash, skipped minimum, normalized sizes).
 * Cuts depend on the bytes alone, never on how they were split into parts. With `min` = `max` chunks are simply that long.
 */
export class Chunker {
  readonly #sizes: ChunkSizes
  readonly #strictMask: number
  readonly #looseMask: number
  /** Bytes of the current chunk that were seen. */
  #length = 0
  #hash = 0

  constructor(sizes: ChunkSizes) {
    this.#sizes = sizes
    const bits = Math.round(Math.log2(sizes.average))
    this.#strictMask = topBits(bits + normalization)
    this.#looseMask = topBits(bits - normalization)
  }

  /**
   * Goes on at `bytes[from]`. Gives the index right after the chunk's last byte, where the next chunk begins,
   * or -1 when the chunk goes on past the end of `bytes`: the next call then continues it.
   */
  next(bytes: Uint8Array, from: number): number {
    const { min, max } = this.#sizes
    const start = from - this.#length
    const end = Math.min(bytes.length, start + max)
    const cut = min === max ? -1 : this.#find(bytes, from, start, end)
    if (cut >= 0 || end === start + max) {
      this.#length = 0
      this.#hash = 0
      return cut >= 0 ? cut : end
    }
    this.#length = end - start
    return -1
  }

  /** The first cut of the chunk that began at `start`, or -1 when there is none before `end`. */
  #find(bytes: Uint8Array, from: number, start: number, end: number): number {
    const { min, average } = this.#sizes
    const firstCut = Math.min(end, start + min)
    const strictEnd = Math.min(end, start + average)
    let hash = this.#hash
    let position = Math.min(end, Math.max(from, start + min - windowBytes))
    for (; position < firstCut; position++) hash = ((hash << 1) + gear[bytes[position]!]!) | 0
    while (position < end) {
      const strict = position < strictEnd
      const to = Math.min(position + scanBytes, strict ? strictEnd : end)
      const cut = scan(bytes, position, to, hash, strict ? this.#strictMask : this.#looseMask)
      if (cut >= 0) return cut
      hash = rolled
      position = to
    }
    this.#hash = hash
    return -1
  }
}

/** The top bits of the gear hash depend on the most bytes. */
function topBits(count: number): number {
  return (-1 << (32 - count)) | 0
}
