import { createHash, hash } from 'node:crypto'
import type { StorageBackend } from '../backends/storage-backend.ts'
import { EnvError, messageOf } from '../domain/errors.ts'
import { decodeIndexObject, encodeIndexObject, type IndexSection, maxIndexObjectBytes } from '../domain/index-object.ts'
import { maxPackBytes } from '../domain/pack.ts'
import { type PackEntry, PackIndex } from '../domain/pack-index.ts'
import type { Trace } from '../system/trace.ts'
import { inBatches } from './in-batches.ts'
import {
  damagedMark,
  digestOf,
  indexPrefix,
  markedPack,
  markPrefix,
  packIdOf,
  packName,
  packPrefix,
  short,
} from './object-names.ts'
import { checkName, readFooter, salvagePack } from './pack-footer.ts'
import type { Damage } from './store.ts'

const readsAtOnce = 8
/** More small index objects than this are merged into one. */
const maxSmallObjects = 16
const smallObjectBytes = 1024 * 1024
/** Directories of packs that no index object names yet are held in memory up to this many bytes. */
export const maxKeptBytes = 8 * 1024 * 1024

/**
 * The pack index of a store and where it comes from: index objects for what they tell truly, the packs' own footers for all else.
 * Index objects are a cache: one that is lost, stale, twice there, lying or damaged changes nothing but the time that loading takes.
 */
export class PackCatalog {
  readonly index = new PackIndex()
  /** What was wrong with index objects and footers when they were read, newest knowledge last. */
  readonly notes = new Map<string, Damage>()
  readonly #backend: StorageBackend
  readonly #trace: Trace
  /** Index objects that were read, with their lengths. */
  readonly #objects = new Map<string, number>()
  /** By pack: the index objects that say what it holds. */
  readonly #sources = new Map<string, readonly string[]>()
  readonly #trusting = new Map<PackEntry, Promise<boolean>>()
  readonly #unindexed = new Set<PackEntry>()
  #loading: Promise<void> | undefined
  #keptBytes = 0

  constructor(backend: StorageBackend, trace: Trace) {
    this.#backend = backend
    this.#trace = trace
  }

  /** Reads all index objects and lists all packs, the first time. */
  load(): Promise<void> {
    this.#loading ??= this.#update().catch((error: unknown) => {
      this.#loading = undefined
      throw error
    })
    return this.#loading
  }

  /** Learns what others did to the store since it was loaded. */
  async refresh(): Promise<void> {
    await this.load()
    this.#loading = undefined
    await this.load()
  }

  /**
   * Whether the pack is there and its footer says what the index says: asked once per pack before anything relies on it unread.
   * When the index was wrong it is put right, so look again for what was to be found there.
   */
  trust(pack: PackEntry): Promise<boolean> {
    if (pack.state === 'trusted') return Promise.resolve(true)
    if (pack.state !== 'listed') return Promise.resolve(false)
    let answer = this.#trusting.get(pack)
    if (!answer) {
      answer = this.#compareFooter(pack).finally(() => this.#trusting.delete(pack))
      this.#trusting.set(pack, answer)
    }
    return answer
  }

  /** Takes in a pack that was just written and read back. */
  async landed(section: IndexSection): Promise<void> {
    const before = this.index.pack(section.pack)
    this.#keep(this.index.add(section, 'trusted', { keep: true }))
    this.notes.delete(packName(section.pack))
    if (before?.suspect) await this.#backend.delete(damagedMark(section.pack))
  }

  /**
   * Remembers, also for other processes, whether all of a pack was found whole: a later snapshot writes again what a suspect pack holds.
   * A store that cannot be written to is no reason to fail.
   */
  async mark(pack: PackEntry, result: 'whole' | 'damaged'): Promise<void> {
    const changed = pack.suspect !== (result === 'damaged')
    pack.suspect = result === 'damaged'
    if (!changed) return
    const mark = damagedMark(pack.id)
    const done = result === 'damaged' ? this.#backend.put(mark, []) : this.#backend.delete(mark)
    await done.catch((error: unknown) => {
      if (!(error instanceof EnvError) || error.code !== 'unavailable') throw error
    })
  }

  get keptBytes(): number {
    return this.#keptBytes
  }

  /** Looks whether a pack that was relied on is still there, whole in length. */
  async stillThere(pack: PackEntry): Promise<boolean> {
    const info = await this.#backend.stat(packName(pack.id))
    if (info?.size === pack.bytes) return true
    pack.state = info ? 'damaged' : 'missing'
    return false
  }

  /** Writes an index object of the packs that none names yet, and drops those that were damaged. */
  async writeIndex(): Promise<void> {
    const packs = [...this.#unindexed].filter((pack) => pack.state === 'trusted')
    if (packs.length === 0) return
    const merged = await this.#smallObjects()
    const sections = packs.map((pack) => ({ pack: pack.id, packBytes: pack.bytes, directory: pack.directory! }))
    await this.#putIndex([...sections, ...merged.sections])
    for (const pack of this.#unindexed) pack.directory = undefined
    this.#unindexed.clear()
    this.#keptBytes = 0
    const damaged = [...this.notes.keys()].filter((name) => name.startsWith(indexPrefix))
    for (const name of [...merged.names, ...damaged]) {
      await this.#backend.delete(name)
      this.#objects.delete(name)
      this.notes.delete(name)
    }
  }

  async #putIndex(sections: readonly IndexSection[]): Promise<void> {
    const bytes = encodeIndexObject(sections)
    const digest = createHash('sha256').update(bytes).digest('hex')
    await this.#backend.put(`${indexPrefix}${digest}`, [bytes])
    this.#objects.set(`${indexPrefix}${digest}`, bytes.length)
    this.#trace(`store: index ${short(digest)} written`)
  }

  /** When there are many small index objects: what they say, to be written as one. */
  async #smallObjects(): Promise<{ readonly names: readonly string[]; readonly sections: readonly IndexSection[] }> {
    const names = [...this.#objects].filter(([, bytes]) => bytes < smallObjectBytes).map(([name]) => name)
    if (names.length < maxSmallObjects) return { names: [], sections: [] }
    const sections = new Map<string, IndexSection>()
    for (const name of names) {
      for (const section of (await this.#readObject(name)) ?? []) {
        const pack = this.index.pack(section.pack)
        const digest = hash('sha256', section.directory)
        if (pack && pack.state !== 'missing' && pack.digest === digest) sections.set(section.pack, section)
      }
    }
    for (const pack of this.#unindexed) sections.delete(pack.id)
    return { names, sections: [...sections.values()] }
  }

  async #update(): Promise<void> {
    // Index objects first: a pack that one of them names was there before it, so the later listing has it.
    const objects = await this.#listIndexObjects()
    const packs = await this.#listPacks()
    const disputed = new Map<string, IndexSection>()
    await inBatches(objects, readsAtOnce, async ({ name, size }) => {
      if (this.#objects.has(name)) return
      const sections = size > maxIndexObjectBytes ? undefined : await this.#readObject(name)
      if (!sections) return
      this.#objects.set(name, size)
      for (const section of sections) {
        this.#sources.set(section.pack, [...(this.#sources.get(section.pack) ?? []), name])
        this.#take(section, packs, disputed)
      }
    })
    for (const pack of this.index.packs) {
      if (pack.state === 'replaced') continue
      if (!packs.has(pack.id)) pack.state = 'missing'
      else if (pack.state === 'missing') pack.state = 'listed'
    }
    const unknown = [...packs].filter(([id, size]) => {
      const pack = this.index.pack(id)
      return pack?.bytes !== size || pack.state === 'damaged'
    })
    await inBatches(unknown, readsAtOnce, async ([id, size]) => this.#readPack(id, size, disputed.get(id)))
    for await (const { name } of this.#backend.list(markPrefix)) {
      const pack = this.index.pack(markedPack(name) ?? '')
      if (pack) pack.suspect = true
    }
  }

  async #listIndexObjects(): Promise<readonly { readonly name: string; readonly size: number }[]> {
    const objects: { name: string; size: number }[] = []
    for await (const { name, size } of this.#backend.list(indexPrefix)) {
      if (digestOf(name, indexPrefix)) objects.push({ name, size })
    }
    return objects
  }

  async #listPacks(): Promise<ReadonlyMap<string, number>> {
    const packs = new Map<string, number>()
    for await (const { name, size } of this.#backend.list(packPrefix)) {
      const id = packIdOf(name)
      if (id) packs.set(id, size)
    }
    return packs
  }

  async #readObject(name: string): Promise<readonly IndexSection[] | undefined> {
    try {
      const sections = decodeIndexObject(await this.#backend.get(name), name.slice(indexPrefix.length))
      this.notes.delete(name)
      return sections
    } catch (error) {
      if (!(error instanceof EnvError) || (error.code !== 'not-found' && error.code !== 'damaged')) throw error
      if (error.code === 'damaged') this.notes.set(name, { object: name, reason: messageOf(error) })
      return undefined
    }
  }

  /** Takes in one section unless the store's listing or another section contradicts it: then the pack's own footer decides. */
  #take(section: IndexSection, packs: ReadonlyMap<string, number>, disputed: Map<string, IndexSection>): void {
    const { pack } = section
    const listed = packs.get(pack)
    const known = this.index.pack(pack)
    if (known && known.bytes === section.packBytes && known.digest === hash('sha256', section.directory)) return
    if (known?.state === 'trusted') return
    if (known || disputed.has(pack) || (listed !== undefined && listed !== section.packBytes)) {
      this.index.replace(pack)
      disputed.set(pack, section)
      return
    }
    this.#tryAdd(section, listed === undefined ? 'missing' : 'listed')
  }

  #tryAdd(section: IndexSection, state: PackEntry['state']): PackEntry | undefined {
    try {
      return this.index.add(section, state, { keep: state === 'trusted' })
    } catch (error) {
      if (error instanceof EnvError) return undefined
      throw error
    }
  }

  /** Learns from the pack itself what it holds. */
  async #readPack(id: string, size: number, disputed: IndexSection | undefined): Promise<void> {
    const name = packName(id)
    try {
      const directory = await readFooter(this.#backend, name, size)
      if (disputed || this.index.pack(id)) {
        await checkName(this.#backend, id, size)
        this.#blame(id)
      }
      this.#keep(this.index.add({ pack: id, packBytes: size, directory }, 'trusted', { keep: true }))
      this.notes.delete(name)
    } catch (error) {
      if (!(error instanceof EnvError) || (error.code !== 'not-found' && error.code !== 'damaged')) throw error
      if (error.code === 'not-found') return
      this.notes.set(name, { object: name, reason: messageOf(error) })
      const salvaged = size > maxPackBytes ? undefined : await salvagePack(this.#backend, name, id)
      const known = this.index.pack(id)
      if (known) known.state = 'damaged'
      else if (disputed ?? salvaged) this.#tryAdd((disputed ?? salvaged)!, 'damaged')
    }
  }

  /** The pack itself contradicts these index objects: the next index object that is written takes their place. */
  #blame(pack: string): void {
    for (const object of this.#sources.get(pack) ?? []) {
      this.notes.set(object, { object, reason: `an index object says of ${packName(pack)} what is not so` })
    }
    this.#sources.delete(pack)
  }

  #keep(entry: PackEntry): void {
    this.#unindexed.add(entry)
    this.#keptBytes += entry.directory?.length ?? 0
  }

  async #compareFooter(pack: PackEntry): Promise<boolean> {
    const name = packName(pack.id)
    const info = await this.#backend.stat(name)
    if (!info) {
      pack.state = 'missing'
      return false
    }
    try {
      const directory = await readFooter(this.#backend, name, info.size)
      if (info.size === pack.bytes && hash('sha256', directory) === pack.digest) {
        pack.state = 'trusted'
        return true
      }
      await checkName(this.#backend, pack.id, info.size)
      this.#keep(this.index.add({ pack: pack.id, packBytes: info.size, directory }, 'trusted', { keep: true }))
      this.#blame(pack.id)
    } catch (error) {
      if (!(error instanceof EnvError) || (error.code !== 'not-found' && error.code !== 'damaged')) throw error
      pack.state = error.code === 'not-found' ? 'missing' : 'damaged'
      if (error.code === 'damaged') this.notes.set(name, { object: name, reason: messageOf(error) })
    }
    return false
  }
}
