import type { ContentSink } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import { parentPath } from '../../domain/tree.ts'
import type { Capture, CaptureOptions } from '../service-driver.ts'
import { type AtPoint, PointView } from './at-point.ts'
import { describe, fileEntry, type Known, Seen } from './captured.ts'
import { ChangeWatch } from './change-watch.ts'
import { type CloneFile, Clones } from './clones.ts'
import { type CacheLine, ContentCache, ContentCacheWriter, cacheLine, isOf, parseCacheLine } from './content-cache.ts'
import { FileClock, identityOf, isClearlyBefore } from './identity.ts'
import { type Mount, shown } from './mount.ts'
import { type ByteTaker, readStable, takeInto } from './read-file.ts'
import { absentRecord, ListingWriter, treeRecord, unsupportedFacts } from './record.ts'
import { refuseRuin } from './ruin.ts'
import { type LiveEntry, linkTarget, lstat, Pauses, type WalkNotes, walk } from './walk.ts'

/** What has changed so shortly before it was read ahead is looked at again at the point: it is likely to change again right after it. */
const recentNs = 10_000_000_000n

/** What a capture keeps of a folder in which nobody writes for a moment. */
type Kept = {
  readonly entries: readonly LiveEntry[]
  readonly unsupported: string[]
  readonly clones: Clones
  /** Cloned files that somebody wrote to meanwhile. */
  readonly moved: Set<string>
}

function unsupportedNotes(names: string[]): WalkNotes {
  return { unsupported: (path, kind) => void names.push(`${shown(path)} (${kind})`) }
}

/**
 * A mount cannot make its writers wait. So nearly all is read ahead of the point; at the point, while the writers of databases wait, what is
 * known to have changed since is looked at again, as far as time allows. Afterwards the rest is read: a file whose ctime lies before the point
 * is as it was then; one that changed at or after it, and was not looked at, is taken as it is and named.
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
  readonly #watch: ChangeWatch
  #view = new PointView()
  #pointNs: bigint | undefined
  #lookedNs: bigint | undefined
  /** The system tells when files were made; where it cannot, it gives their ctime or nothing. */
  #knowsBirths = false
  #isStill = false
  #kept: Kept | undefined
  #reads = 0
  #stamp = 0n

  private constructor(mount: Mount, sink: ContentSink, options: CaptureOptions) {
    this.#mount = mount
    this.#sink = sink
    this.#options = options
    this.#clock = new FileClock(mount.privateDirectory)
    this.#take = takeInto(sink)
    this.#pauses = new Pauses(mount.signal)
    this.#watch = new ChangeWatch(mount)
  }

  static async prepare(mount: Mount, sink: ContentSink, options: CaptureOptions): Promise<FilesCapture> {
    const capture = new FilesCapture(mount, sink, options)
    try {
      await capture.#readAhead()
    } catch (error) {
      await capture.close()
      throw error
    }
    return capture
  }

  /** From now on nobody writes. */
  async still(): Promise<void> {
    this.#isStill = true
    this.#watch.close()
    // What was written last must show as of before the point.
    await this.#clock.settle(this.#clock.nowNs())
  }

  /**
   * While nobody writes: keeps all that the copy needs, so that writers can go on before that is made. False where files cannot be cloned without
   * copying them.
   */
  async keep(clone: CloneFile): Promise<boolean> {
    const clones = new Clones(this.#mount, clone)
    const unsupported: string[] = []
    const entries: LiveEntry[] = []
    this.#kept = { entries, unsupported, clones, moved: new Set() }
    for (const found of walk(this.#mount, unsupportedNotes(unsupported))) {
      await this.#pauses.due()
      const isLink = found.type === 'symlink'
      const entry = isLink ? { ...found, target: linkTarget(this.#mount, found.path) } : found
      entries.push(entry)
      if (entry.type !== 'file' || entry.link !== undefined || this.#isKnown(entry)) continue
      if (clones.add(entry.path)) continue
      clones.remove()
      this.#kept = undefined
      return false
    }
    // Somebody wrote all the same: what was cloned is not of one moment.
    for (const { path, stat } of entries) {
      if (clones.of(path) === undefined) continue
      const now = lstat(this.#mount, path)
      if (!now || identityOf(now) !== identityOf(stat)) this.#kept.moved.add(path)
    }
    return true
  }

  #isKnown({ path, stat }: LiveEntry): boolean {
    const ahead = this.#ahead.get(path)
    return ahead !== undefined && isOf(ahead, identityOf(stat))
  }

  /** Nobody waits: see the class. */
  async hold(): Promise<void> {}

  async point(): Promise<void> {
    this.#pointNs = this.#clock.nowNs()
    if (this.#options.live || this.#isStill) return
    const changed = await this.#watch.changed()
    this.#view = PointView.take(this.#mount, this.#watch, changed, (path) => this.#ahead.get(path))
    this.#lookedNs = this.#clock.nowNs()
  }

  async release(): Promise<void> {}

  async close(): Promise<void> {
    this.#watch.close()
    this.#kept?.clones.remove()
  }

  async #readAhead(): Promise<void> {
    const cache = await ContentCache.load(this.#mount.privateDirectory)
    const startNs = this.#clock.nowNs()
    let newestNs = 0n
    const notes = this.#options.live ? {} : { folder: (path: string) => this.#watch.add(path) }
    for (const entry of walk(this.#mount, notes)) {
      await this.#pauses.due()
      this.#refuseRuin(entry)
      if (entry.stat.ctimeNs > newestNs) newestNs = entry.stat.ctimeNs
      if (entry.stat.ctimeNs > startNs - recentNs) this.#watch.note(entry.path)
      this.#knowsBirths ||= entry.stat.birthtimeNs > 0n && entry.stat.birthtimeNs !== entry.stat.ctimeNs
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
    this.#watch.close()
    const listing = new ListingWriter()
    const cache = new ContentCacheWriter()
    const seen = new Seen()
    const unsupported: string[] = this.#kept?.unsupported ?? []
    const listGone = async (path?: string) => {
      for (const { path: gone, was } of this.#view.goneBefore(path)) {
        this.#ahead.delete(gone)
        // A file cannot be listed without its folder.
        if (seen.hasFolder(parentPath(gone))) listing.add(fileEntry(gone, await this.#knownAtPoint(was)))
        else seen.live.push(gone)
      }
    }
    for (const found of this.#kept?.entries ?? walk(this.#mount, unsupportedNotes(unsupported))) {
      await this.#pauses.due()
      this.#refuseRuin(found)
      await listGone(found.path)
      if (this.#isNew(found)) continue
      const entry = seen.relinked(found)
      const ahead = this.#ahead.get(entry.path)
      this.#ahead.delete(entry.path)
      const was = this.#view.of(entry)
      const known =
        entry.type === 'file' && entry.link === undefined ? await this.#contentOf(entry, ahead, was) : undefined
      const complete = describe(this.#mount, was ? { ...entry, stat: was.stat } : entry, known)
      if (!complete) continue
      listing.add(complete)
      if (known?.trusted) cache.add(entry.path, cacheLine(known))
      const { ctimeNs } = (was ? undefined : known?.stat) ?? entry.stat
      const untouched = this.#isOfPoint(ctimeNs) && known?.stable !== false
      seen.add(entry, { untouched, isOfPoint: untouched || was !== undefined })
    }
    await listGone()
    await cache.save(this.#mount.privateDirectory)
    if (listing.presence === 'absent') return absentRecord(this.#mount.name, this.#ahead.size > 0 ? ['.'] : [])
    const left = [...this.#ahead.keys()].filter((path) => !this.#view.isWithout(path))
    const gone = this.#options.live
      ? []
      : [...seen.vanished(left), ...this.#view.folders().filter((path) => !seen.hasFolder(path))]
    const live = new Set([...seen.live, ...gone])
    const level = this.#options.live || live.size > 0 ? 'live' : 'frozen'
    return treeRecord(this.#mount.name, listing, this.#sink, {
      level,
      live: [...live].map(shown).sort(),
      facts: unsupportedFacts(unsupported),
    })
  }

  /**
   * Made after the point, in a folder of which all is known that was there: no part of it. Elsewhere it is listed and named. A folder is listed all
   * the same, for the sake of what was moved into it.
   */
  #isNew({ path, type, stat }: LiveEntry): boolean {
    if (this.#lookedNs === undefined || type === 'directory' || path === '' || !this.#knowsBirths) return false
    const wasThere = this.#view.holds(path) || (this.#ahead.has(path) && !this.#view.isWithout(path))
    if (wasThere || !this.#view.isWhole(parentPath(path))) return false
    return stat.dev === this.#clock.device && stat.birthtimeNs > this.#lookedNs
  }

  #refuseRuin({ path, type }: LiveEntry): void {
    if (path === '' && type !== 'directory' && this.#options.damage === 'refuse') refuseRuin(this.#mount)
  }

  #isOfPoint(ctimeNs: bigint): boolean {
    return this.#options.live || (this.#pointNs !== undefined && isClearlyBefore(ctimeNs, this.#pointNs))
  }

  /** Read again only when it has changed since it was read ahead, and was not looked at at the point. */
  async #contentOf(
    entry: LiveEntry,
    ahead: CacheLine | undefined,
    was: AtPoint | undefined,
  ): Promise<Known | undefined> {
    if (was) return this.#knownAtPoint(was)
    if (ahead === undefined || !isOf(ahead, identityOf(entry.stat))) return this.#readClone(entry) ?? this.#read(entry)
    return { ...parseCacheLine(ahead), trusted: true, stable: true }
  }

  /** Its clone holds what the file held when it was looked at. */
  #readClone({ path, stat }: LiveEntry): Promise<Known | undefined> | undefined {
    const { clones, moved } = this.#kept ?? {}
    const name = clones?.of(path)
    if (!clones || name === undefined) return undefined
    const stable = !moved?.has(path)
    const trusted = stable && this.#isOfPoint(stat.ctimeNs)
    return readStable(clones.mount, name, this.#take).then((result) => {
      if (!result) return undefined
      this.#options.progress(result.content.bytes)
      const { content, sparse } = result
      return { identity: identityOf(stat), content, sparse, stable, trusted, stat }
    })
  }

  async #knownAtPoint({ stat, held }: AtPoint): Promise<Known> {
    if (typeof held === 'string') return { ...parseCacheLine(held), trusted: true, stable: true, stat }
    const { bytes, sparse } = held!
    const content = await this.#sink.write('rows', bytes)
    const trusted = isClearlyBefore(stat.ctimeNs, this.#pointNs!)
    return { identity: identityOf(stat), content, sparse, trusted, stable: true, stat }
  }
}
