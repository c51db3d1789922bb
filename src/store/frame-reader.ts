import { hash } from 'node:crypto'
import type { StorageBackend } from '../backends/storage-backend.ts'
import { EnvError, messageOf } from '../domain/errors.ts'
import { decodeFrame } from './compression.ts'
import { freeMemory } from './free-memory.ts'
import { packName } from './object-names.ts'
import type { PackCatalog } from './pack-catalog.ts'

const cachedBytes = 12 * 1024 * 1024

type CachedFrame = { readonly plain: Promise<Uint8Array>; readonly bytes: number }

/** Reads chunks out of packs, each compared with its id. The frames read last stay decoded, so that reading on costs one read a frame. */
export class FrameReader {
  readonly #backend: StorageBackend
  readonly #catalog: PackCatalog
  /** In the order of last use. */
  readonly #cache = new Map<number, CachedFrame>()
  #bytes = 0

  constructor(backend: StorageBackend, catalog: PackCatalog) {
    this.#backend = backend
    this.#catalog = catalog
  }

  /** The chunk's bytes, from whichever pack has them whole. Throws `damaged`, naming the object (`details.object`). */
  async chunk(id: string): Promise<Uint8Array> {
    await this.#catalog.load()
    const first = await this.#tryPlaces(id)
    if ('bytes' in first) return first.bytes
    // The index may be older than the store, or wrong: learn what the packs themselves say, then look once more.
    const wrong = first.entry < 0 ? undefined : this.#catalog.index.packOf(first.entry)
    if (wrong?.state === 'listed') await this.#catalog.trust(wrong)
    if (!wrong || wrong.state === 'missing') await this.#catalog.refresh()
    const second = await this.#tryPlaces(id)
    if ('bytes' in second) return second.bytes
    throw this.#lost(id, second.reason)
  }

  /** Starts to read what a reader will need next. */
  prefetch(id: string): void {
    const entry = this.#catalog.index.find(Buffer.from(id, 'hex'))
    if (entry >= 0) this.#frame(this.#catalog.index.place(entry).frame).catch(() => {})
  }

  async #tryPlaces(
    id: string,
  ): Promise<{ readonly bytes: Uint8Array } | { readonly entry: number; readonly reason: unknown }> {
    const { index } = this.#catalog
    const key = Buffer.from(id, 'hex')
    let failed: { entry: number; reason: unknown } = { entry: -1, reason: undefined }
    for (let entry = index.find(key); entry >= 0; entry = index.find(key, { after: entry })) {
      const { frame, offset, length } = index.place(entry)
      try {
        const bytes = (await this.#frame(frame)).subarray(offset, offset + length)
        if (hash('sha256', bytes) === id) return { bytes }
        index.packOf(entry).suspect = true
        failed = { entry, reason: new EnvError('damaged', 'a chunk does not have the SHA-256 that names it') }
      } catch (error) {
        if (!(error instanceof EnvError) || (error.code !== 'damaged' && error.code !== 'not-found')) throw error
        if (error.code === 'not-found') index.packOf(entry).state = 'missing'
        failed = { entry, reason: error }
      }
      this.#drop(frame)
    }
    return failed
  }

  #lost(id: string, reason: unknown): EnvError {
    const { index } = this.#catalog
    const entry = index.find(Buffer.from(id, 'hex'), { missing: true })
    const hint = 'run `git env verify --data` to see which snapshots are hit'
    if (entry < 0) {
      return new EnvError('damaged', `the chunk ${id} is in no pack of ${this.#backend.location}`, {
        hint,
        details: { object: 'packs' },
      })
    }
    const pack = index.packOf(entry)
    const object = packName(pack.id)
    const what = pack.state === 'missing' ? 'is missing' : `is damaged: ${messageOf(reason)}`
    return new EnvError('damaged', `${object} in ${this.#backend.location} ${what}`, { hint, details: { object } })
  }

  #frame(number: number): Promise<Uint8Array> {
    const cached = this.#cache.get(number)
    if (cached) {
      this.#cache.delete(number)
      this.#cache.set(number, cached)
      return cached.plain
    }
    const frame = this.#catalog.index.frame(number)
    const plain = this.#readFrame(number)
    this.#cache.set(number, { plain, bytes: frame.plainBytes })
    this.#bytes += frame.plainBytes
    for (const oldest of this.#cache.keys()) {
      if (this.#bytes <= cachedBytes || oldest === number) break
      this.#drop(oldest)
    }
    return plain
  }

  async #readFrame(number: number): Promise<Uint8Array> {
    const frame = this.#catalog.index.frame(number)
    const range = { offset: frame.offset + frame.headBytes, length: frame.storedBytes }
    const stored = await this.#backend.get(packName(frame.pack.id), range)
    if (stored.length !== range.length) throw new EnvError('damaged', 'a read gave another length than was asked for')
    const plain = await decodeFrame(frame.method, stored, frame.plainBytes)
    if (plain !== stored) freeMemory(stored)
    return plain
  }

  #drop(number: number): void {
    const cached = this.#cache.get(number)
    if (!cached) return
    this.#cache.delete(number)
    this.#bytes -= cached.bytes
  }
}
