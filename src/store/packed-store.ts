import type { StorageBackend } from '../backends/storage-backend.ts'
import type { Content } from '../domain/content.ts'
import { EnvError } from '../domain/errors.ts'
import type { Manifest } from '../domain/manifest.ts'
import { decodeManifest } from '../domain/manifest-codec.ts'
import { encodeStoreFormat } from '../domain/store-format.ts'
import type { Trace } from '../system/trace.ts'
import { checkSnapshot, RecentlySound } from './check.ts'
import { FrameReader } from './frame-reader.ts'
import { manifestList, readFormat } from './manifest-list.ts'
import { digestOf, formatName, isDigest, manifestPrefix, packIdOf } from './object-names.ts'
import { PackCatalog } from './pack-catalog.ts'
import { PackedSnapshotWriter } from './snapshot-writer.ts'
import type { CheckOptions, Damage, SnapshotWriter, Store, StoreUsage, VerifyReport } from './store.ts'
import { chunkIds } from './stored-content.ts'
import { verifyStore } from './verify.ts'

export type CreateOptions = {
  /** ULID. */
  readonly id: string
  /** ISO 8601 in UTC. */
  readonly createdAt: string
  readonly trace?: Trace
}

export type OpenOptions = {
  /** The id that was recorded when the store was made for this repository; another store is refused. */
  readonly expectedId?: string
  readonly trace?: Trace
}

/** Makes a store where there is none. Throws `refused` when there is one, or anything else. */
export async function createStore(backend: StorageBackend, options: CreateOptions): Promise<Store> {
  const trace = options.trace ?? (() => {})
  const bytes = encodeStoreFormat({ id: options.id, createdAt: options.createdAt })
  if ((await backend.put(formatName, [bytes])) === 'exists') {
    throw new EnvError('refused', `there is a store at ${backend.location} already`, {
      hint: 'use it as it is, or choose another place',
    })
  }
  trace('store: format written')
  return openStore(backend, { expectedId: options.id, trace })
}

/** Opens a store. One that is absent, empty, damaged, newer or another one is refused, never made. */
export async function openStore(backend: StorageBackend, options: OpenOptions = {}): Promise<Store> {
  const format = await readFormat(backend, options.expectedId)
  return new PackedStore(backend, format.id, options.trace ?? (() => {}))
}

class PackedStore implements Store {
  readonly id: string
  readonly location: string
  readonly #backend: StorageBackend
  readonly #trace: Trace
  readonly #catalog: PackCatalog
  readonly #reader: FrameReader
  readonly #sound = new RecentlySound()

  constructor(backend: StorageBackend, id: string, trace: Trace) {
    this.id = id
    this.location = backend.location
    this.#backend = backend
    this.#trace = trace
    this.#catalog = new PackCatalog(backend, trace)
    this.#reader = new FrameReader(backend, this.#catalog)
  }

  writer(options: { readonly dryRun?: boolean } = {}): SnapshotWriter {
    return new PackedSnapshotWriter({
      backend: this.#backend,
      catalog: this.#catalog,
      read: (content) => this.read(content),
      readChunk: (id) => this.#reader.chunk(id),
      trace: this.#trace,
      dryRun: options.dryRun === true,
    })
  }

  async *read(content: Content): AsyncGenerator<Uint8Array> {
    let bytes = 0
    for await (const id of chunkIds(content, (chunk) => this.#reader.chunk(chunk))) {
      const chunk = await this.#reader.chunk(id)
      bytes += chunk.length
      yield chunk
    }
    if (bytes !== content.bytes) {
      throw new EnvError('damaged', `the content ${content.sha256} has ${bytes} bytes instead of ${content.bytes}`)
    }
  }

  async manifest(digest: string): Promise<Manifest> {
    if (!isDigest(digest)) throw new EnvError('not-found', `no manifest is named ${JSON.stringify(digest)}`)
    return decodeManifest(await this.#backend.get(`${manifestPrefix}${digest}`), digest)
  }

  manifests(): Promise<ReadonlySet<string>> {
    return manifestList(this.#backend).manifests()
  }

  hasManifest(digest: string): Promise<boolean> {
    return manifestList(this.#backend).hasManifest(digest)
  }

  async check(manifest: Manifest, options: CheckOptions): Promise<readonly Damage[]> {
    await this.#catalog.refresh()
    return checkSnapshot(this.#parts(), manifest, options)
  }

  async verify(options: CheckOptions): Promise<VerifyReport> {
    await this.#catalog.refresh()
    return verifyStore(this.#parts(), options)
  }

  async usage(): Promise<StoreUsage> {
    let bytes = 0
    let packs = 0
    let manifests = 0
    for await (const { name, size } of this.#backend.list('')) {
      bytes += size
      if (packIdOf(name)) packs++
      if (digestOf(name, manifestPrefix)) manifests++
    }
    return { bytes, packs, manifests }
  }

  #parts() {
    return {
      backend: this.#backend,
      catalog: this.#catalog,
      read: (content: Content) => this.read(content),
      readChunk: (id: string) => this.#reader.chunk(id),
      sound: this.#sound,
    }
  }
}
