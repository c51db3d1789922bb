import type { Json } from '../../domain/canonical-json.ts'
import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { Level, Presence, ServiceRecord } from '../../domain/manifest.ts'
import { encodeTreeEntry, type TreeEntry } from '../../domain/tree.ts'
import type { StoredTree } from './target-tree.ts'

/** Sockets, pipes and devices that a record names; more are only counted. */
const maxUnsupportedNames = 100

/** Gathers a listing's lines while the files' contents go into the sink beside it. */
export class ListingWriter {
  readonly #parts: Buffer[] = []
  #text = ''
  #files = 0
  #bytes = 0
  #links = 0
  #presence: Presence = 'absent'

  add(entry: TreeEntry): void {
    if (entry.path === '') this.#presence = entry.type === 'directory' ? 'present' : 'damaged'
    if (entry.type === 'file') this.#files++
    if (entry.link !== undefined) this.#links++
    this.#bytes += entry.content?.bytes ?? 0
    this.#text += encodeTreeEntry(entry)
    if (this.#text.length >= 1 << 18) this.#flush()
  }

  /** `damaged`: something else stands in the place of the mount's folder. */
  get presence(): Presence {
    return this.#presence
  }

  get files(): number {
    return this.#files
  }

  /** Names that are hard links to earlier ones. */
  get links(): number {
    return this.#links
  }

  /** Plain bytes of all files. */
  get bytes(): number {
    return this.#bytes
  }

  async *encoded(): AsyncGenerator<Uint8Array> {
    this.#flush()
    yield* this.#parts
  }

  #flush(): void {
    if (this.#text !== '') this.#parts.push(Buffer.from(this.#text, 'utf8'))
    this.#text = ''
  }
}

export type Circumstances = {
  readonly level: Level
  readonly live: readonly string[]
  readonly facts: Readonly<Record<string, Json>>
}

/** What a record says of sockets, pipes and devices, which are not captured. */
export function unsupportedFacts(names: readonly string[]): Record<string, Json> {
  if (names.length === 0) return {}
  return { unsupported: names.slice(0, maxUnsupportedNames), unsupportedCount: names.length }
}

/** Stores the listing and makes the record that names it. */
export async function treeRecord(
  name: string,
  listing: ListingWriter,
  sink: ContentSink,
  { level, live, facts }: Circumstances,
): Promise<ServiceRecord> {
  const content = await sink.write('listing', listing.encoded())
  return {
    ...empty(name),
    presence: listing.presence,
    level,
    live,
    bytes: listing.bytes,
    files: listing.files,
    streams: [{ name: 'tree', kind: 'tree', content }],
    facts: listing.links > 0 ? { ...facts, links: listing.links } : facts,
  }
}

/** `live` names the mount itself where it vanished during the capture. */
export function absentRecord(name: string, live: readonly string[] = []): ServiceRecord {
  return { ...empty(name), presence: 'absent', level: live.length > 0 ? 'live' : 'frozen', live }
}

function empty(name: string) {
  return {
    name,
    kind: 'mount',
    type: 'files',
    bytes: 0,
    files: 0,
    streams: [],
    objects: [],
    versions: {},
    facts: {},
  } as const
}

/** The tree of a record. */
export function storedTree(record: ServiceRecord): StoredTree {
  if (record.presence === 'absent') return { links: 0 }
  const stream = record.streams.find(({ name, kind }) => name === 'tree' && kind === 'tree')
  if (!stream) throw new EnvError('damaged', `the record of mount ${record.name} holds no tree`)
  const tree = { listing: stream.content, links: Number(record.facts['links'] ?? 0) }
  return record.presence === 'damaged' ? { ...tree, damaged: true } : tree
}
