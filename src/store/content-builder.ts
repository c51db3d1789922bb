import { createHash, type Hash, hash } from 'node:crypto'
import { Chunker, chunkSizes } from '../domain/chunker.ts'
import type { ChunkProfile } from '../domain/content.ts'
import { idBytes } from '../domain/pack.ts'

/** Takes a chunk in; its bytes are valid until the promise resolves. */
export type StoreChunk = (id: string, key: Uint8Array, bytes: Uint8Array) => Promise<void> | undefined

export type BuiltContent = {
  readonly bytes: number
  readonly sha256: string
  /** The ids of all chunks, one after the other. */
  readonly keys: Buffer
}

/** Cuts bytes into chunks, hashes and hands them on, and gathers what a content must say. */
export class ContentBuilder {
  readonly #chunker: Chunker
  readonly #maxBytes: number
  readonly #store: StoreChunk
  /** The part of the current chunk that came in earlier buffers. */
  #carry: Buffer = Buffer.alloc(0)
  #carried = 0
  #whole: Hash | undefined
  #bytes = 0
  #keys = Buffer.alloc(idBytes * 4)
  #chunks = 0
  #lastId = ''

  constructor(profile: ChunkProfile, store: StoreChunk) {
    this.#chunker = new Chunker(chunkSizes[profile])
    this.#maxBytes = chunkSizes[profile].max
    this.#store = store
  }

  /** `last`: nothing follows; saves a second hash of what is a single chunk. */
  async write(part: Uint8Array, options: { readonly last: boolean }): Promise<void> {
    let from = 0
    while (from < part.length) {
      const end = this.#chunker.next(part, from)
      if (end < 0) break
      const only = options.last && end === part.length
      await this.#chunk(part.subarray(from, end), only)
      from = end
    }
    if (from === part.length) return
    if (options.last && this.#carried === 0) await this.#chunk(part.subarray(from), true)
    else this.#keepForLater(part.subarray(from))
  }

  async finish(): Promise<BuiltContent> {
    if (this.#carried > 0) await this.#chunk(new Uint8Array(0), true)
    const sha256 = this.#whole ? this.#whole.digest('hex') : this.#chunks === 0 ? hash('sha256', '') : this.#lastId
    return { bytes: this.#bytes, sha256, keys: this.#keys.subarray(0, this.#chunks * idBytes) }
  }

  async #chunk(part: Uint8Array, last: boolean): Promise<void> {
    const bytes = this.#carried > 0 ? this.#joined(part) : part
    const id = hash('sha256', bytes)
    // The SHA-256 of a single chunk is that of the content.
    if (!last || this.#chunks > 0) {
      this.#whole ??= createHash('sha256')
      this.#whole.update(bytes)
    }
    this.#bytes += bytes.length
    const key = this.#addKey(id)
    this.#lastId = id
    this.#carried = 0
    await this.#store(id, key, bytes)
  }

  #joined(part: Uint8Array): Uint8Array {
    this.#keepForLater(part)
    return this.#carry.subarray(0, this.#carried)
  }

  #keepForLater(part: Uint8Array): void {
    const needed = this.#carried + part.length
    if (needed > this.#carry.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(this.#maxBytes, Math.max(needed, this.#carry.length * 2)))
      grown.set(this.#carry.subarray(0, this.#carried))
      this.#carry = grown
    }
    this.#carry.set(part, this.#carried)
    this.#carried = needed
  }

  #addKey(id: string): Uint8Array {
    const at = this.#chunks++ * idBytes
    if (at === this.#keys.length) {
      const grown = Buffer.alloc(at * 2)
      grown.set(this.#keys)
      this.#keys = grown
    }
    this.#keys.write(id, at, 'hex')
    return this.#keys.subarray(at, at + idBytes)
  }
}
