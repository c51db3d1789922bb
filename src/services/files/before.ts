import type { ContentSink, ContentSource } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import { compareTreePaths, isWithin, parentPath, type TreeEntry } from '../../domain/tree.ts'
import { type Area, asRoot, lastAside } from './area.ts'
import { ContentCache } from './content-cache.ts'
import type { Drift } from './drift.ts'
import { identityOf } from './identity.ts'
import { type Mount, Scope } from './mount.ts'
import { type Change, type Operation, type Put, type Removal, readLines, type Stamp } from './operations.ts'
import { readStable, takeInto } from './read-file.ts'
import { absentRecord, ListingWriter, storedTree, treeRecord } from './record.ts'
import { ordinaryUser } from './rights.ts'
import { readStored } from './target-tree.ts'
import { type LiveEntry, linkTarget, lstat, type Metadata, metadataOf, Pauses, typeOf, walk } from './walk.ts'

export type BeforeInput = {
  readonly mount: Mount
  readonly area: Area
  readonly operations: readonly Operation[]
  /** File of how the tree differed from the safety snapshot. */
  readonly drift: string
  readonly source: ContentSource
  readonly sink: ContentSink
  readonly safety: ServiceRecord
}

/** The tree as it was right before the swap: the safety snapshot, what differed from it at the last look, and what was set aside since. */
export async function recordBefore(input: BeforeInput): Promise<ServiceRecord> {
  const { mount, sink, safety } = input
  const reader = new BeforeReader(input, await ContentCache.load(mount.privateDirectory))
  const listing = new ListingWriter()
  const pauses = new Pauses(mount.signal)
  for await (const entry of reader.entries()) {
    await pauses.due()
    listing.add(entry)
  }
  if (listing.presence === 'absent') return absentRecord(safety.name)
  const { links: _, ...facts } = safety.facts
  return treeRecord(safety.name, listing, sink, { level: safety.level, live: safety.live, facts })
}

/** What an operation found at its path: nothing, or what lies at a place of the area. */
type Layer = { readonly path: string; readonly place: string | undefined; readonly old: Metadata | undefined }

/** The folders that a listing is in. What is in none of them was put into a folder that the swap itself had brought. */
class OpenFolders {
  readonly #paths: string[] = []

  add({ path, type }: TreeEntry): void {
    this.#leave(path)
    if (type === 'directory') this.#paths.push(path)
  }

  hasParentOf(path: string): boolean {
    this.#leave(path)
    return path === '' || this.#paths.at(-1) === parentPath(path)
  }

  #leave(path: string): void {
    while (this.#paths.length > 0 && !isWithin(this.#paths.at(-1)!, path)) this.#paths.pop()
  }
}

class BeforeReader {
  readonly #input: BeforeInput
  readonly #cache: ContentCache
  readonly #changes: ReadonlyMap<string, Change>
  readonly #outer: readonly Layer[]
  readonly #inner: readonly Layer[]
  /** Of files set aside that have several names: the first one, by inode. */
  readonly #names = new Map<bigint, string>()

  constructor(input: BeforeInput, cache: ContentCache) {
    this.#input = input
    this.#cache = cache
    this.#changes = new Map(input.operations.filter((each) => each.kind === 'change').map((each) => [each.path, each]))
    const [outer, inner] = layersOf(input.area, input.operations)
    this.#outer = outer
    this.#inner = inner
  }

  entries(): AsyncIterable<TreeEntry> {
    let entries = this.#overlay(this.#base(), this.#outer)
    // What was set aside inside of something that had come before, by a recovery: rare, and few.
    for (const layer of this.#inner) if (layer.place !== undefined) entries = this.#overlay(entries, [layer])
    return entries
  }

  /** At each layer's path, what was set aside stands for all that the entries have there. */
  async *#overlay(entries: AsyncIterable<TreeEntry>, layers: readonly Layer[]): AsyncGenerator<TreeEntry> {
    const open = new OpenFolders()
    let next = 0
    let current: Layer | undefined
    for await (const entry of entries) {
      for (let layer = layers[next]; layer && compareTreePaths(layer.path, entry.path) <= 0; layer = layers[++next]) {
        current = layer
        if (open.hasParentOf(layer.path)) yield* this.#setAside(layer)
      }
      if (current && isWithin(current.path, entry.path)) continue
      open.add(entry)
      yield* this.#complete(entry)
    }
    for (let layer = layers[next]; layer; layer = layers[++next]) {
      if (open.hasParentOf(layer.path)) yield* this.#setAside(layer)
    }
  }

  /** The safety snapshot, with what differed from it at the last look. */
  async *#base(): AsyncGenerator<TreeEntry> {
    const { safety, source, drift } = this.#input
    const changed = readLines(drift)[Symbol.asyncIterator]() as AsyncIterator<Drift>
    let row = await changed.next()
    for await (const entry of readStored(storedTree(safety), source)) {
      for (; !row.done && compareTreePaths(row.value.path, entry.path) < 0; row = await changed.next()) {
        if (row.value.entry) yield this.#unchanged(row.value.entry)
      }
      const isDrift = !row.done && row.value.path === entry.path
      const now = isDrift ? row.value.entry : entry
      if (now) yield this.#unchanged(now)
      if (isDrift) row = await changed.next()
    }
    for (; !row.done; row = await changed.next()) if (row.value.entry) yield this.#unchanged(row.value.entry)
  }

  /** With the metadata from before the swap. */
  #unchanged(entry: TreeEntry): TreeEntry {
    const change = this.#changes.get(entry.path)
    return change?.type === entry.type ? { ...entry, ...change.old } : entry
  }

  /** A file that changed since the safety snapshot, and that the swap had no need to touch, is read where it is. */
  async *#complete(entry: TreeEntry): AsyncGenerator<TreeEntry> {
    if (entry.type !== 'file' || entry.content || entry.link !== undefined) {
      yield entry
      return
    }
    const read = await readStable(this.#input.mount, entry.path, takeInto(this.#input.sink))
    if (read)
      yield { ...entry, ...metadataOf(read.stat), content: read.content, ...(read.sparse ? { sparse: true } : {}) }
  }

  async *#setAside({ path, place, old }: Layer): AsyncGenerator<TreeEntry> {
    if (place === undefined) return
    const { mount, area } = this.#input
    const root = `${asRoot(area).root}/${place}`
    const there: Mount = { ...mount, root, scope: new Scope(new Set(), []) }
    const stat = lstat(there, '')
    const type = stat && typeOf(stat)
    if (!stat || !type) return
    if (type !== 'directory') {
      yield* this.#entry(there, { path: '', type, stat, link: undefined }, path)
      return
    }
    for (const entry of walk(there)) {
      const full = entry.path === '' ? path : path === '' ? entry.path : `${path}/${entry.path}`
      for await (const each of this.#entry(there, entry, full)) {
        // An ordinary user has to open a folder to move it.
        const isOpened = entry.path === '' && old && ordinaryUser() !== undefined
        yield isOpened ? { ...each, mode: old.mode } : each
      }
    }
  }

  async *#entry(there: Mount, { path: below, type, stat }: LiveEntry, path: string): AsyncGenerator<TreeEntry> {
    const entry: TreeEntry = { path, type, ...metadataOf(stat) }
    if (type === 'directory') yield entry
    else if (type === 'symlink') {
      const target = linkTarget(there, below)
      if (target !== undefined) yield { ...entry, target }
    } else {
      const link = this.#names.get(stat.ino)
      if (stat.nlink > 1n && link === undefined) this.#names.set(stat.ino, path)
      if (stat.nlink > 1n && link !== undefined) yield { ...entry, link }
      else yield* this.#file(there, below, entry, identityOf(stat))
    }
  }

  /** What lay in a folder that was set aside has not been touched by that, and need not be read again. */
  async *#file(there: Mount, below: string, entry: TreeEntry, identity: string): AsyncGenerator<TreeEntry> {
    const { sink } = this.#input
    const cached = this.#cache.get(entry.path, identity)
    if (cached && (await sink.holds(cached.content))) {
      yield { ...entry, content: cached.content, ...(cached.sparse ? { sparse: true } : {}) }
      return
    }
    const read = await readStable(there, below, takeInto(sink))
    if (read)
      yield { ...entry, ...metadataOf(read.stat), content: read.content, ...(read.sparse ? { sparse: true } : {}) }
  }
}

/**
 * By path: the outermost operations, and those below them in the order they were made. Of several at one path, which a recovery makes, the
 * last that found something; what it found of ours, and untouched, is nothing from before the swap.
 */
function layersOf(area: Area, operations: readonly Operation[]): readonly [readonly Layer[], readonly Layer[]] {
  const byPath = new Map<string, Layer>()
  const stamps = new Map<string, Stamp>()
  for (const each of operations)
    if (each.kind === 'put' || each.kind === 'part') stamps.set(each.stamp.inode, each.stamp)
  const swapped = operations.filter((each): each is Put | Removal => each.kind === 'put' || each.kind === 'removal')
  for (const { path, number, old } of swapped.toSorted((a, b) => a.number - b.number)) {
    const last = lastAside(area, number)
    const place = last === undefined || isOurs(area, last, stamps) ? undefined : last
    if (place !== undefined || !byPath.has(path)) byPath.set(path, { path, place, old })
  }
  const outer: Layer[] = []
  const inner: Layer[] = []
  for (const layer of [...byPath.values()].sort((a, b) => compareTreePaths(a.path, b.path))) {
    const last = outer.at(-1)
    if (last && isWithin(last.path, layer.path)) inner.push(layer)
    else outer.push(layer)
  }
  return [outer, inner]
}

function isOurs(area: Area, place: string, stamps: ReadonlyMap<string, Stamp>): boolean {
  const stat = lstat(asRoot(area), place)
  const stamp = stat && stamps.get(String(stat.ino))
  if (!stamp || typeOf(stat) !== stamp.type) return false
  return stamp.type !== 'file' || (Number(stat.size) === stamp.bytes && stat.mtimeNs === stamp.metadata.mtimeNs)
}
