import { checkObjectName, checkObjectPrefix, noSuchObject, shortObject } from './object-name.ts'
import type { ByteRange, ObjectInfo, StorageBackend } from './storage-backend.ts'

/** Objects in memory: for tests, and for what needs no longer life than its process. */
export class MemoryBackend implements StorageBackend {
  readonly location: string
  readonly #objects = new Map<string, { readonly bytes: Buffer; readonly modifiedAtMs: number }>()
  readonly #clock: () => number

  constructor(options: { readonly location?: string; readonly clock?: () => number } = {}) {
    this.location = options.location ?? 'memory:'
    this.#clock = options.clock ?? Date.now
  }

  async put(name: string, parts: readonly Uint8Array[]): Promise<'created' | 'exists'> {
    checkObjectName(name)
    if (this.#objects.has(name)) return 'exists'
    this.#objects.set(name, { bytes: Buffer.concat(parts), modifiedAtMs: this.#clock() })
    return 'created'
  }

  async get(name: string, range?: ByteRange): Promise<Uint8Array> {
    checkObjectName(name)
    const bytes = this.#objects.get(name)?.bytes
    if (!bytes) throw noSuchObject(this.location, name)
    const { offset, length } = range ?? { offset: 0, length: bytes.length }
    if (offset + length > bytes.length) throw shortObject(this.location, name, offset + length, bytes.length)
    return Uint8Array.from(bytes.subarray(offset, offset + length))
  }

  async stat(name: string): Promise<ObjectInfo | undefined> {
    checkObjectName(name)
    const object = this.#objects.get(name)
    return object && { name, size: object.bytes.length, modifiedAtMs: object.modifiedAtMs }
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    checkObjectPrefix(prefix)
    for (const [name, { bytes, modifiedAtMs }] of [...this.#objects]) {
      if (name.startsWith(prefix)) yield { name, size: bytes.length, modifiedAtMs }
    }
  }

  async *names(prefix: string): AsyncGenerator<readonly string[]> {
    for await (const { name } of this.list(prefix)) yield [name]
  }

  async delete(name: string): Promise<boolean> {
    checkObjectName(name)
    return this.#objects.delete(name)
  }

  async now(): Promise<number> {
    return this.#clock()
  }
}
