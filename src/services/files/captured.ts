import type { BigIntStats } from 'node:fs'
import { parentPath, type TreeEntry } from '../../domain/tree.ts'
import type { CachedContent } from './content-cache.ts'
import type { Mount } from './mount.ts'
import { type LiveEntry, linkTarget, metadataOf } from './walk.ts'

/** What is known of a file's bytes, and of the moment they were read. */
export type Known = CachedContent & {
  /** Every change since it was read would show in its identity. */
  readonly trusted: boolean
  readonly stable: boolean
  /** Of the file when it was read, where this capture read it. */
  readonly stat?: BigIntStats
}

/** What the copy has met so far. */
export class Seen {
  readonly live: string[] = []
  readonly #folders = new Set<string>()
  /** Folders in which something may have changed since the point. */
  readonly #touched = new Set<string>()
  /** Of files with several names: the first one that is listed, by the first that the walk met. */
  readonly #heads = new Map<string, string>()

  add(
    { path, type, stat }: LiveEntry,
    { untouched, isOfPoint }: { readonly untouched: boolean; readonly isOfPoint: boolean },
  ): void {
    if (type === 'file' && stat.nlink > 1n && !this.#heads.has(path)) this.#heads.set(path, path)
    if (type === 'directory') this.#folders.add(path)
    if (type === 'directory' && !untouched) this.#touched.add(path)
    if (!isOfPoint) this.live.push(path)
  }

  hasFolder(path: string): boolean {
    return this.#folders.has(path)
  }

  /** Where the first of a file's names vanished after the walk met it, the next one takes its place. */
  relinked(entry: LiveEntry): LiveEntry {
    if (entry.link === undefined) return entry
    const head = this.#heads.get(entry.link)
    if (head === undefined) this.#heads.set(entry.link, entry.path)
    return { ...entry, link: head }
  }

  /** What was there before and is gone, from a folder touched since the point: whether before or after it cannot be told. */
  vanished(before: Iterable<string>): string[] {
    return [...before].filter((path) => this.#touched.has(parentPath(path)))
  }
}

/** The listing's entry of something live; undefined when it vanished. */
export function describe(mount: Mount, entry: LiveEntry, known: Known | undefined): TreeEntry | undefined {
  const { path, type, link } = entry
  const stat = known?.stat ?? entry.stat
  const meta = { path, type, ...metadataOf(stat) }
  if (type === 'symlink') {
    const target = entry.target ?? linkTarget(mount, path)
    return target === undefined ? undefined : { ...meta, target }
  }
  if (type === 'directory') return meta
  if (link !== undefined) return { ...meta, link }
  return known && { ...meta, ...contentIn(known) }
}

/** The listing's entry of a file that was there at the point and is gone. */
export function fileEntry(path: string, known: Known): TreeEntry {
  return { path, type: 'file', ...metadataOf(known.stat!), ...contentIn(known) }
}

function contentIn({ content, sparse }: Known): Pick<TreeEntry, 'content' | 'sparse'> {
  return { content, ...(sparse ? { sparse: true as const } : {}) }
}
