import { hash } from 'node:crypto'
import type { StorageBackend } from '../backends/storage-backend.ts'
import { type ChunkProfile, type Content, maxInlineChunks } from '../domain/content.ts'
import { EnvError } from '../domain/errors.ts'
import type { IndexSection } from '../domain/index-object.ts'
import type { Manifest } from '../domain/manifest.ts'
import { encodeManifest } from '../domain/manifest-codec.ts'
import { chunkId, decodeDirectory, idBytes } from '../domain/pack.ts'
import type { PackEntry, PackIndex } from '../domain/pack-index.ts'
import type { Trace } from '../system/trace.ts'
import { type BuiltContent, ContentBuilder } from './content-builder.ts'
import { FramePacker } from './frame-packer.ts'
import { manifestPrefix, packName, short } from './object-names.ts'
import { maxKeptBytes, type PackCatalog } from './pack-catalog.ts'
import { PackWriter, putReadBack } from './pack-writer.ts'
import type { SnapshotWriter } from './store.ts'
import { chunkIds } from './stored-content.ts'

export type WriterOptions = {
  readonly backend: StorageBackend
  readonly catalog: PackCatalog
  readonly read: (content: Content) => AsyncIterable<Uint8Array>
  readonly readChunk: (id: string) => Promise<Uint8Array>
  readonly trace: Trace
  readonly dryRun: boolean
}

/** Writes one snapshot: chunks that the store does not have into packs, then the index object, then the manifest. */
export class PackedSnapshotWriter implements SnapshotWriter {
  readonly added = { plainBytes: 0, storedBytes: 0, chunks: 0 }
  readonly #options: WriterOptions
  readonly #frames: FramePacker
  readonly #packs: PackWriter
  /** Chunks that are on their way into a pack. */
  readonly #pending = new Set<string>()
  /** Dry run: chunks of listings and of chunk lists, which stay readable. */
  readonly #readable = new Map<string, Uint8Array>()
  /** Packs of earlier snapshots that this one relies on. */
  readonly #reused = new Set<PackEntry>()
  #ended = false

  constructor(options: WriterOptions) {
    this.#options = options
    const { backend, trace } = options
    this.#packs = new PackWriter({
      backend,
      trace,
      landed: (section) => this.#landed(section),
    })
    this.#frames = new FramePacker((head, stored) => this.#consume(head, stored))
  }

  async write(profile: ChunkProfile, bytes: AsyncIterable<Uint8Array> | Uint8Array): Promise<Content> {
    this.#checkOpen()
    await this.#options.catalog.load()
    const readable = this.#options.dryRun && profile === 'listing'
    const builder = new ContentBuilder(profile, (id, key, chunk) => this.#store(id, key, chunk, readable))
    if (bytes instanceof Uint8Array) await builder.write(bytes, { last: true })
    else for await (const part of bytes) await builder.write(part, { last: false })
    return this.#contentOf(await builder.finish())
  }

  async holds(content: Content): Promise<boolean> {
    this.#checkOpen()
    await this.#options.catalog.load()
    try {
      for (const id of content.list ?? []) if (!(await this.#has(id, Buffer.from(id, 'hex')))) return false
      for await (const id of chunkIds(content, (chunk) => this.#readChunk(chunk))) {
        if (!(await this.#has(id, Buffer.from(id, 'hex')))) return false
      }
      return true
    } catch (error) {
      if (error instanceof EnvError && error.code === 'damaged') return false
      throw error
    }
  }

  async *read(content: Content): AsyncGenerator<Uint8Array> {
    if (this.#options.dryRun) {
      for await (const id of chunkIds(content, (chunk) => this.#readChunk(chunk))) yield await this.#readChunk(id)
      return
    }
    if (!this.#ended) await this.#flush()
    yield* this.#options.read(content)
  }

  async finish(manifest: Manifest): Promise<string> {
    this.#checkOpen()
    const bytes = encodeManifest(manifest)
    const digest = hash('sha256', bytes)
    const { backend, catalog, trace, dryRun } = this.#options
    await this.#flush()
    this.#ended = true
    await this.#packs.drop()
    if (dryRun) return digest
    await this.#recheckReused()
    await catalog.load()
    await catalog.writeIndex()
    await putReadBack(backend, `${manifestPrefix}${digest}`, bytes)
    trace(`store: manifest ${short(digest)} written`)
    return digest
  }

  async abort(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    await this.#frames.stop(new EnvError('cancelled', 'the snapshot was given up'))
    await this.#packs.drop()
    this.#readable.clear()
  }

  async #contentOf(built: BuiltContent): Promise<Content> {
    const { bytes, sha256, keys } = built
    if (keys.length <= maxInlineChunks * idBytes) return { bytes, sha256, chunks: hexIds(keys) }
    const { dryRun } = this.#options
    const builder = new ContentBuilder('rows', (id, key, chunk) => this.#store(id, key, chunk, dryRun))
    await builder.write(keys, { last: true })
    return { bytes, sha256, list: hexIds((await builder.finish()).keys) }
  }

  #store(id: string, key: Uint8Array, bytes: Uint8Array, readable: boolean): Promise<void> | undefined {
    if (readable) this.#readable.set(id, Uint8Array.from(bytes))
    const known = this.#known(id, key)
    if (known === true) return undefined
    if (known === false) return this.#storeNew(id, key, bytes)
    return this.#has(id, key).then((has) => (has ? undefined : this.#storeNew(id, key, bytes)))
  }

  #storeNew(id: string, key: Uint8Array, bytes: Uint8Array): Promise<void> {
    this.#pending.add(id)
    this.added.plainBytes += bytes.length
    this.added.chunks++
    return this.#frames.add(key, bytes)
  }

  /** Whether the chunk is in the store or on its way; undefined when that takes a look at a pack. */
  #known(id: string, key: Uint8Array): boolean | undefined {
    if (this.#pending.has(id)) return true
    const { index } = this.#options.catalog
    const entry = index.find(key)
    if (entry < 0) return false
    const pack = index.packOf(entry)
    if (pack.state !== 'trusted' || pack.suspect) return undefined
    this.#reused.add(pack)
    return true
  }

  /** Asks one pack after the other that may hold the chunk; what is learned of a pack can change where the index says that it is. */
  async #has(id: string, key: Uint8Array): Promise<boolean> {
    const { catalog } = this.#options
    const { index } = catalog
    for (;;) {
      if (this.#pending.has(id)) return true
      const packs = packsOf(index, key).filter(({ suspect }) => !suspect)
      const trusted = packs.find(({ state }) => state === 'trusted')
      if (trusted) {
        this.#reused.add(trusted)
        return true
      }
      const listed = packs.find(({ state }) => state === 'listed')
      if (!listed) return false
      await catalog.trust(listed)
    }
  }

  async #consume(head: Uint8Array, stored: readonly Uint8Array[]): Promise<void> {
    if (this.#options.dryRun) {
      this.added.storedBytes += stored.reduce((sum, piece) => sum + piece.length, head.length * 2)
      return
    }
    await this.#packs.append(head, stored)
    this.added.storedBytes = this.#packs.storedBytes
  }

  /** From here on the pack index knows the pack's chunks. */
  async #landed(section: IndexSection): Promise<void> {
    const { catalog } = this.#options
    await catalog.landed(section)
    for (const frame of decodeDirectory(section.directory, section.packBytes)) {
      for (let i = 0; i < frame.chunks; i++) this.#pending.delete(hexId(chunkId(frame, i)))
    }
    if (catalog.keptBytes > maxKeptBytes) await catalog.writeIndex()
  }

  async #readChunk(id: string): Promise<Uint8Array> {
    const readable = this.#readable.get(id)
    if (readable) return readable
    if (this.#pending.has(id) && !this.#options.dryRun) await this.#flush()
    return this.#options.readChunk(id)
  }

  async #flush(): Promise<void> {
    await this.#frames.flush()
    if (this.#options.dryRun) return
    await this.#packs.flush()
    this.added.storedBytes = this.#packs.storedBytes
  }

  /** A `prune` elsewhere may have taken packs away since they were looked at. */
  async #recheckReused(): Promise<void> {
    for (const pack of this.#reused) {
      if (await this.#options.catalog.stillThere(pack)) continue
      throw new EnvError('unavailable', `${packName(pack.id)} was taken away while the snapshot was being made`, {
        hint: 'run it again: what is missing will be written anew',
      })
    }
  }

  #checkOpen(): void {
    this.#frames.check()
    if (this.#ended) throw new EnvError('bug', 'this snapshot was already written or given up')
  }
}

function packsOf(index: PackIndex, key: Uint8Array): readonly PackEntry[] {
  const packs: PackEntry[] = []
  for (let entry = index.find(key); entry >= 0; entry = index.find(key, { after: entry })) {
    packs.push(index.packOf(entry))
  }
  return packs
}

function hexIds(keys: Buffer): readonly string[] {
  return Array.from({ length: keys.length / idBytes }, (_, i) => keys.toString('hex', i * idBytes, (i + 1) * idBytes))
}

function hexId(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('hex')
}
