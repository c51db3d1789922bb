import { createHash } from 'node:crypto'
import type { IndexSection } from './index-object.ts'
import { chunkId, chunkLength, decodeDirectory, type FrameMethod, frameMethods, headBytesOf } from './pack.ts'

/**
 * `listed`: the store has it, and an index object says what it holds; `trusted`: its own footer was seen to say the same;
 * `damaged`: known not to be whole; `missing`: an index object names it, the store does not have it;
 * `replaced`: what was known of it was wrong and stands no longer.
 */
export type PackState = 'listed' | 'trusted' | 'damaged' | 'missing' | 'replaced'

export type PackEntry = {
  readonly number: number
  /** SHA-256, lower-case hex. */
  readonly id: string
  readonly bytes: number
  /** SHA-256 of the directory, lower-case hex. */
  readonly digest: string
  directory: Uint8Array | undefined
  readonly firstFrame: number
  readonly frames: number
  state: PackState
  /** Damage was found in it: what it holds may still be read, but nothing new relies on it. */
  suspect: boolean
}

/** Where the chunk with a given entry number lies. */
export type ChunkPlace = { readonly frame: number; readonly offset: number; readonly length: number }

export type FramePlace = {
  readonly pack: PackEntry
  /** Offset of the frame's head in its pack. */
  readonly offset: number
  readonly headBytes: number
  readonly method: FrameMethod
  readonly plainBytes: number
  readonly storedBytes: number
  readonly firstEntry: number
  readonly chunks: number
}

const segmentBits = 14
const segmentEntries = 1 << segmentBits
const segmentMask = segmentEntries - 1
const entryWords = 11 // eight of id, frame, offset, length
const frameWords = 7

/**
 * Which pack holds which chunk: the union of all directories, in typed arrays (44 bytes a chunk and 4 to 12 of hash slots).
 * One chunk may lie in several packs; the places are tried in the order they came.
 */
export class PackIndex {
  readonly #packs: PackEntry[] = []
  readonly #current = new Map<string, PackEntry>()
  #frames = new Uint32Array(frameWords * 256)
  #frameCount = 0
  readonly #segments: Uint32Array[] = []
  #entryCount = 0
  #slots = new Uint32Array(1024)

  /** How many chunks all directories name together; also the number that the next entry gets. */
  get entries(): number {
    return this.#entryCount
  }

  /** Memory that the typed arrays take. */
  get bytes(): number {
    const segments = this.#segments.length * entryWords * segmentEntries
    return (segments + this.#frames.length + this.#slots.length) * 4
  }

  get packs(): readonly PackEntry[] {
    return this.#packs
  }

  /** What is known now of the pack with this id. */
  pack(id: string): PackEntry | undefined {
    return this.#current.get(id)
  }

  /**
   * Takes in what a directory says of a pack; what was known of that pack before is replaced. Throws `damaged`, and then changes nothing.
   * `keep`: the directory's bytes stay with the entry, for an index object that is yet to be written.
   */
  add(section: IndexSection, state: PackState, options: { readonly keep: boolean }): PackEntry {
    const frames = decodeDirectory(section.directory, section.packBytes)
    const entry: PackEntry = {
      number: this.#packs.length,
      id: section.pack,
      bytes: section.packBytes,
      digest: createHash('sha256').update(section.directory).digest('hex'),
      directory: options.keep ? Uint8Array.from(section.directory) : undefined,
      firstFrame: this.#frameCount,
      frames: frames.length,
      state,
      suspect: false,
    }
    this.replace(section.pack)
    this.#packs.push(entry)
    this.#current.set(entry.id, entry)
    for (const frame of frames) {
      const number = this.#addFrame([
        entry.number,
        frame.offset,
        frame.method,
        frame.plainBytes,
        frame.storedBytes,
        this.#entryCount,
        frame.chunks,
      ])
      let offset = 0
      for (let i = 0; i < frame.chunks; i++) {
        const length = chunkLength(frame, i)
        this.#addEntry(chunkId(frame, i), number, offset, length)
        offset += length
      }
    }
    return entry
  }

  /** What is known of this pack holds no longer. */
  replace(id: string): void {
    const known = this.#current.get(id)
    if (known) known.state = 'replaced'
    this.#current.delete(id)
  }

  /** Entry number of a place where the chunk lies, going on after the entry `after`; -1 when there is none. `missing` and `replaced` packs count only when asked for. */
  find(id: Uint8Array, options: { readonly after?: number; readonly missing?: boolean } = {}): number {
    const mask = this.#slots.length - 1
    const first = word(id, 0)
    let waiting = options.after !== undefined
    for (let slot = first & mask; ; slot = (slot + 1) & mask) {
      const value = this.#slots[slot]!
      if (value === 0) return -1
      const entry = value - 1
      if (waiting) waiting = entry !== options.after
      else if (this.#is(entry, id, first) && this.#counts(entry, options.missing === true)) return entry
    }
  }

  place(entry: number): ChunkPlace {
    const segment = this.#segments[entry >>> segmentBits]!
    const at = (entry & segmentMask) * entryWords
    return { frame: segment[at + 8]!, offset: segment[at + 9]!, length: segment[at + 10]! }
  }

  /** The chunk's id, lower-case hex. */
  id(entry: number): string {
    const at = (entry & segmentMask) * entryWords
    const bytes = Buffer.allocUnsafe(32)
    for (let i = 0; i < 8; i++) bytes.writeUInt32LE(this.#segments[entry >>> segmentBits]![at + i]!, i * 4)
    return bytes.toString('hex')
  }

  packOf(entry: number): PackEntry {
    return this.#packs[this.#frames[this.place(entry).frame * frameWords]!]!
  }

  frame(number: number): FramePlace {
    const at = number * frameWords
    const frames = this.#frames
    const chunks = frames[at + 6]!
    return {
      pack: this.#packs[frames[at]!]!,
      offset: frames[at + 1]!,
      headBytes: headBytesOf(chunks),
      method: frames[at + 2] === frameMethods.raw ? frameMethods.raw : frameMethods.zstd,
      plainBytes: frames[at + 3]!,
      storedBytes: frames[at + 4]!,
      firstEntry: frames[at + 5]!,
      chunks,
    }
  }

  #counts(entry: number, missing: boolean): boolean {
    const state = this.packOf(entry).state
    return state !== 'replaced' && (missing || state !== 'missing')
  }

  #is(entry: number, id: Uint8Array, first: number): boolean {
    const segment = this.#segments[entry >>> segmentBits]!
    const at = (entry & segmentMask) * entryWords
    if (segment[at] !== first) return false
    for (let i = 1; i < 8; i++) if (segment[at + i] !== word(id, i)) return false
    return true
  }

  #addFrame(words: readonly number[]): number {
    const at = this.#frameCount * frameWords
    if (at === this.#frames.length) {
      const grown = new Uint32Array(at * 2)
      grown.set(this.#frames)
      this.#frames = grown
    }
    this.#frames.set(words, at)
    return this.#frameCount++
  }

  #addEntry(id: Uint8Array, frame: number, offset: number, length: number): void {
    const entry = this.#entryCount++
    if ((entry & segmentMask) === 0) this.#segments.push(new Uint32Array(entryWords * segmentEntries))
    const segment = this.#segments[entry >>> segmentBits]!
    const at = (entry & segmentMask) * entryWords
    for (let i = 0; i < 8; i++) segment[at + i] = word(id, i)
    segment[at + 8] = frame
    segment[at + 9] = offset
    segment[at + 10] = length
    if (this.#entryCount * 4 > this.#slots.length * 3) this.#grow()
    else this.#claim(segment[at]!, entry)
  }

  #claim(first: number, entry: number): void {
    const mask = this.#slots.length - 1
    let slot = first & mask
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
    this.#slots[slot] = entry + 1
  }

  #grow(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2)
    for (let entry = 0; entry < this.#entryCount; entry++) {
      const segment = this.#segments[entry >>> segmentBits]!
      this.#claim(segment[(entry & segmentMask) * entryWords]!, entry)
    }
  }
}

function word(id: Uint8Array, index: number): number {
  const at = index * 4
  return (id[at]! | (id[at + 1]! << 8) | (id[at + 2]! << 16) | (id[at + 3]! << 24)) >>> 0
}
