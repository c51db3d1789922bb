import type { Content, ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import { decodeTree, isWithin, type TreeEntry } from '../../domain/tree.ts'
import { type Scope, shown } from './mount.ts'
import type { Selection } from './selection.ts'

/** A stored tree by its listing; what a journal keeps of a record. */
export type StoredTree = {
  /** undefined: absent. */
  readonly listing?: Content
  /** Names in the listing that are hard links to earlier ones. */
  readonly links: number
  /** Not a folder, but what stood in its place. */
  readonly damaged?: true
}

export async function* readStored(tree: StoredTree, source: ContentSource): AsyncGenerator<TreeEntry> {
  if (!tree.listing) return
  for await (const entry of decodeTree(source.read(tree.listing))) {
    if (entry.path === '' && (entry.type === 'directory') === (tree.damaged === true)) {
      throw new EnvError('damaged', `the listing of a mount begins with a ${entry.type}, against what its record says`)
    }
    yield entry
  }
}

/** Reads a stored tree, in order. */
export type ReadTree = (tree: StoredTree) => AsyncIterable<TreeEntry>

/** Keeps trees of at most so many entries in memory, for a second reading while writers wait. */
export function rememberingTrees(source: ContentSource, rememberedEntries: number): ReadTree {
  const remembered = new Map<string, readonly TreeEntry[]>()
  return async function* read(tree) {
    const known = tree.listing && remembered.get(tree.listing.sha256)
    if (known) {
      yield* known
      return
    }
    const entries: TreeEntry[] = []
    for await (const entry of readStored(tree, source)) {
      if (entries.length <= rememberedEntries) entries.push(entry)
      yield entry
    }
    if (tree.listing && entries.length <= rememberedEntries) remembered.set(tree.listing.sha256, entries)
  }
}

type Head = {
  content?: Content
  sparse?: true /** The name that holds the content among those that are chosen. */
  name?: string
}

/** The part of a stored tree that a restore is about: without what is not chosen, and what is not the mount's now. */
export class TargetTree {
  readonly #tree: StoredTree
  readonly #read: ReadTree
  readonly #scope: Scope
  readonly #selection: Selection
  /** Names that others are links to. */
  #heads = new Map<string, Head>()

  private constructor(tree: StoredTree, read: ReadTree, scope: Scope, selection: Selection) {
    this.#tree = tree
    this.#read = read
    this.#scope = scope
    this.#selection = selection
  }

  static async open(tree: StoredTree, read: ReadTree, scope: Scope, selection: Selection): Promise<TargetTree> {
    const target = new TargetTree(tree, read, scope, selection)
    if (tree.links > 0) {
      for await (const { link } of read(tree)) if (link !== undefined) target.#heads.set(link, {})
    }
    return target
  }

  /** Whether the entry is one of several names of a file. */
  isLinked({ path, link }: TreeEntry): boolean {
    return link !== undefined || this.#heads.has(path)
  }

  /**
   * In order. Of a file with several names the first one that is chosen holds the content.
   * Folders above what is chosen are among them, files there are not.
   */
  async *entries(): AsyncGenerator<TreeEntry> {
    for (const path of this.#heads.keys()) this.#heads.set(path, {})
    let alone: string | undefined
    for await (const entry of this.#read(this.#tree)) {
      const { path, type, content, sparse } = entry
      const head = this.#heads.get(entry.link ?? path)
      if (head && content) Object.assign(head, { content, ...(sparse ? { sparse } : {}) })
      if (entry.link !== undefined && !head?.content) {
        throw new EnvError(
          'damaged',
          `${shown(path)} is a hard link to a file that the listing does not hold before it`,
        )
      }
      if (alone !== undefined && isWithin(alone, path)) continue
      if (this.#scope.leavesAlone(path)) {
        alone = path
        continue
      }
      const place = this.#selection.placeOf(path)
      if (place === 'in') yield head ? relinked(entry, head) : entry
      else if (place === 'above' && type === 'directory') yield entry
    }
  }
}

function relinked(entry: TreeEntry, head: Head): TreeEntry {
  const { link: _, ...rest } = entry
  if (head.name !== undefined) return { ...entry, link: head.name }
  head.name = entry.path
  return { ...rest, content: head.content!, ...(head.sparse ? { sparse: true as const } : {}) }
}
