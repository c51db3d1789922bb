import type { BigIntStats } from 'node:fs'
import type { ContentSink } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import { parentPath, type TreeEntry } from '../../domain/tree.ts'
import type { Capture, CaptureOptions } from '../service-driver.ts'
import {
  type CachedContent,
  type CacheLine,
  ContentCache,
  ContentCacheWriter,
  cacheLine,
  isOf,
  parseCacheLine,
} from './content-cache.ts'
import { FileClock, identityOf, isClearlyBefore } from './identity.ts'
import { type Mount, shown } from './mount.ts'
import { type ByteTaker, readStable, takeInto } from './read-file.ts'
import { absentRecord, ListingWriter, treeRecord, unsupportedFacts } from './record.ts'
import { refuseRuin } from './ruin.ts'
import { type LiveEntry, linkTarget, metadataOf, Pauses, walk } from './walk.ts'

/** What is known of a file's bytes, and of the moment they were read. */
type Known = CachedContent & {
  /** Every change since it was read would show in its identity. */
  readonly trusted: boolean
  readonly stable: boolean
  /** Of the file when it was read, where this capture read it. */
  readonly stat?: BigIntStats
}

/**
 * A mount cannot make its writers wait. So nearly all is read ahead of the point, and afterwards only what has changed since: a file whose
 * ctime lies before the point is as it was then. What changed at or after the point is taken as it is and named.
 */
export class FilesCapture implements Capture {
  readonly #mount: Mount
  readonly #sink: ContentSink
  readonly #options: CaptureOptions
  readonly #clock: FileClock
  readonly #take: ByteTaker
  readonly #pauses: Pauses
  /** Every path met while reading ahead, until the copy meets it again; with what a file holds where that is certain. */
  readonly #ahead = new Map<string, CacheLine | undefined>()
  #pointNs: bigint | undefined
  #reads = 0
  #stamp = 0n

  private constructor(mount: Mount, sink: ContentSink, options: CaptureOptions) {
    this.#mount = mount
    this.#sink = sink
    this.#options = options
    this.#clock = new FileClock(mount.privateDirectory)
    this.#take = takeInto(sink)
    this.#pauses = new Pauses(mount.signal)
  }

  static async prepare(mount: Mount, sink: ContentSink, options: CaptureOptions): Promise<FilesCapture> {
    const capture = new FilesCapture(mount, sink, options)
    await capture.#readAhead()
    return capture
  }

  /** Nobody waits: see the class. */
  async hold(): Promise<void> {}

  async point(): Promise<void> {
    this.#pointNs = this.#clock.nowNs()
  }

  async release(): Promise<void> {}

  async close(): Promise<void> {}

  async #readAhead(): Promise<void> {
    const cache = await ContentCache.load(this.#mount.privateDirectory)
    let newestNs = 0n
    for (const entry of walk(this.#mount)) {
      await this.#pauses.due()
      this.#refuseRuin(entry)
      if (entry.stat.ctimeNs > newestNs) newestNs = entry.stat.ctimeNs
      this.#ahead.set(entry.path, undefined)
      if (entry.type !== 'file' || entry.link !== undefined) continue
      const line = cache.line(entry.path, identityOf(entry.stat))
      if (line !== undefined && (await this.#sink.holds(parseCacheLine(line).content))) {
        this.#ahead.set(entry.path, line)
        this.#options.progress(Number(entry.stat.size))
        continue
      }
      await this.#pauses.due(Number(entry.stat.size >> 12n))
      const known = await this.#read(entry)
      if (known?.trusted) this.#ahead.set(entry.path, cacheLine(known))
    }
    // Else whatever was written in the last few milliseconds could not be told from what will be written after the point.
    await this.#clock.settle(newestNs)
  }

  async #read(entry: LiveEntry): Promise<Known | undefined> {
    const startNs = this.#stampNs()
    const result = await readStable(this.#mount, entry.path, this.#take)
    if (!result) return undefined
    this.#options.progress(result.content.bytes)
    const { content, sparse, stable, stat } = result
    const trusted = stable && isClearlyBefore(stat.ctimeNs, startNs)
    return { identity: identityOf(stat), content, sparse, stable, trusted, stat }
  }

  /** An instant not later than now. Taken anew for some reads only; an older one but distrusts more. */
  #stampNs(): bigint {
    if (this.#reads++ % 64 === 0) this.#stamp = this.#clock.nowNs()
    return this.#stamp
  }

  async copy(): Promise<ServiceRecord> {
    const listing = new ListingWriter()
    const cache = new ContentCacheWriter()
    const seen = new Seen()
    const unsupported: string[] = []
    const notes = { unsupported: (path: string, kind: string) => unsupported.push(`${shown(path)} (${kind})`) }
    for (const found of walk(this.#mount, notes)) {
      await this.#pauses.due()
      this.#refuseRuin(found)
      const entry = seen.relinked(found)
      const ahead = this.#ahead.get(entry.path)
      this.#ahead.delete(entry.path)
      const known = entry.type === 'file' && entry.link === undefined ? await this.#contentOf(entry, ahead) : undefined
      const complete = describe(this.#mount, entry, known)
      if (!complete) continue
      listing.add(complete)
      if (known?.trusted) cache.add(entry.path, cacheLine(known))
      seen.add(entry, this.#isOfPoint((known?.stat ?? entry.stat).ctimeNs) && known?.stable !== false)
    }
    await cache.save(this.#mount.privateDirectory)
    if (listing.presence === 'absent') return absentRecord(this.#mount.name, this.#ahead.size > 0 ? ['.'] : [])
    const live = this.#options.live ? seen.live : [...seen.live, ...seen.vanished(this.#ahead.keys())]
    const level = this.#options.live || live.length > 0 ? 'live' : 'frozen'
    return treeRecord(this.#mount.name, listing, this.#sink, {
      level,
      live: live.map(shown).sort(),
      facts: unsupportedFacts(unsupported),
    })
  }

  #refuseRuin({ path, type }: LiveEntry): void {
    if (path === '' && type !== 'directory' && this.#options.damage === 'refuse') refuseRuin(this.#mount)
  }

  #isOfPoint(ctimeNs: bigint): boolean {
    return this.#options.live || (this.#pointNs !== undefined && isClearlyBefore(ctimeNs, this.#pointNs))
  }

  /** Read again only when it has changed since it was read ahead. */
  async #contentOf(entry: LiveEntry, ahead: CacheLine | undefined): Promise<Known | undefined> {
    if (ahead === undefined || !isOf(ahead, identityOf(entry.stat))) return this.#read(entry)
    return { ...parseCacheLine(ahead), trusted: true, stable: true }
  }
}

/** What the copy has met so far. */
class Seen {
  readonly live: string[] = []
  /** Folders in which something may have changed since the point. */
  readonly #touched = new Set<string>()
  /** Of files with several names: the first one that is listed, by the first that the walk met. */
  readonly #heads = new Map<string, string>()

  add({ path, type, stat }: LiveEntry, isOfPoint: boolean): void {
    if (type === 'file' && stat.nlink > 1n && !this.#heads.has(path)) this.#heads.set(path, path)
    if (isOfPoint) return
    this.live.push(path)
    if (type === 'directory') this.#touched.add(path)
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
function describe(mount: Mount, entry: LiveEntry, known: Known | undefined): TreeEntry | undefined {
  const { path, type, link } = entry
  const stat = known?.stat ?? entry.stat
  const meta = { path, type, ...metadataOf(stat) }
  if (type === 'symlink') {
    const target = linkTarget(mount, path)
    return target === undefined ? undefined : { ...meta, target }
  }
  if (type === 'directory') return meta
  if (link !== undefined) return { ...meta, link }
  return known && { ...meta, content: known.content, ...(known.sparse ? { sparse: true as const } : {}) }
}
