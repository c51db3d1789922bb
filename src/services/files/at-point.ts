import type { BigIntStats } from 'node:fs'
import { compareTreePaths, parentPath } from '../../domain/tree.ts'
import type { ChangeWatch } from './change-watch.ts'
import { type CacheLine, isOf } from './content-cache.ts'
import { identityOf } from './identity.ts'
import type { Mount } from './mount.ts'
import { readNow } from './read-file.ts'
import { type LiveEntry, lstat } from './walk.ts'

/** Others wait meanwhile: what goes beyond this is read after the point, and named where it has changed again by then. */
const mostPaths = 1024
/** The latest are looked at in any case, also where this process was kept from running. */
const leastPaths = 64
const mostBytes = 4 << 20
const longestMs = 8
/** Slow file systems do not make others wait longer than this. */
const hardLimitMs = 40

/** A folder, or a file of one name, as it was at the point. */
export type AtPoint = {
  readonly stat: BigIntStats
  /** What the file held: known since it was read ahead, or read at the point. */
  readonly held?: CacheLine | { readonly bytes: Uint8Array; readonly sparse: boolean }
}

/** What a file is known to hold since it was read ahead. */
type AheadOf = (path: string) => CacheLine | undefined

function heldBy(
  mount: Mount,
  path: string,
  stat: BigIntStats,
  line: CacheLine | undefined,
  mostBytes: number,
): AtPoint['held'] {
  if (!stat.isFile() || stat.nlink !== 1n) return undefined
  if (line !== undefined && isOf(line, identityOf(stat))) return line
  const read = readNow(mount, path, mostBytes)
  // A write of as many bytes within one step of the clock shows only in the bytes.
  const again = read && readNow(mount, path, mostBytes)
  return again && identityOf(read.stat) === identityOf(stat) && read.bytes.equals(again.bytes) ? read : undefined
}

/**
 * What of a mount was looked at while the writers of all services waited. A counter that one writer keeps in a database and in a file is
 * the same in both, although writers of files cannot be made to wait.
 */
export class PointView {
  readonly #looked: ReadonlyMap<string, AtPoint | undefined>
  readonly #whole: ReadonlySet<string>
  /** Files that were there at the point, in the order of a listing; those behind `#next` are not listed yet. */
  readonly #files: readonly string[]
  #next = 0

  constructor(looked: ReadonlyMap<string, AtPoint | undefined> = new Map(), whole: ReadonlySet<string> = new Set()) {
    this.#looked = looked
    this.#whole = whole
    this.#files = [...looked].flatMap(([path, was]) => (was?.held ? [path] : [])).sort(compareTreePaths)
  }

  static take(mount: Mount, watch: ChangeWatch, paths: readonly string[], aheadOf: AheadOf): PointView {
    const looked = new Map<string, AtPoint | undefined>()
    const partial = new Set<string>()
    const start = performance.now()
    let bytes = 0
    for (const [i, path] of paths.entries()) {
      const spent = performance.now() - start
      if (i >= mostPaths || spent > hardLimitMs || (i >= leastPaths && spent > longestMs)) {
        partial.add(parentPath(path))
        continue
      }
      if (mount.scope.leavesAlone(path)) continue
      const stat = lstat(mount, path)
      const held = stat && heldBy(mount, path, stat, aheadOf(path), mostBytes - bytes)
      if (held !== undefined && typeof held !== 'string') bytes += held.bytes.length
      looked.set(path, stat && { stat, ...(held === undefined ? {} : { held }) })
      if (stat && !stat.isDirectory() && held === undefined) partial.add(parentPath(path))
    }
    // Who uses no database goes on meanwhile: what has changed since it was looked at is not of one moment with the rest.
    for (const [path, was] of looked) {
      const now = lstat(mount, path)
      if ((was && identityOf(was.stat)) === (now && identityOf(now))) continue
      looked.delete(path)
      partial.add(parentPath(path))
      if (was?.stat.isDirectory() || now?.isDirectory()) partial.add(path)
    }
    const whole = new Set(
      [...looked].flatMap(([path, was]) =>
        was?.stat.isDirectory() && watch.hears(path) && !partial.has(path) ? [path] : [],
      ),
    )
    return new PointView(looked, whole)
  }

  /** Whether all that has changed in this folder until the point was heard and looked at. */
  isWhole(folder: string): boolean {
    return this.#whole.has(folder)
  }

  /** Whether it was looked for and there was nothing of this name. */
  isWithout(path: string): boolean {
    return this.#looked.has(path) && this.#looked.get(path) === undefined
  }

  folders(): string[] {
    return [...this.#looked].flatMap(([path, was]) => (was?.stat.isDirectory() ? [path] : []))
  }

  /** Whether there was a file or folder of this name. */
  holds(path: string): boolean {
    return this.#looked.get(path) !== undefined
  }

  /** As it was, where that was looked at and is of the same kind as what is there now. */
  of({ path, type, stat, link }: LiveEntry): AtPoint | undefined {
    const was = this.#looked.get(path)
    if (was === undefined || link !== undefined) return undefined
    if (type === 'directory') return this.isWhole(path) ? was : undefined
    return type === 'file' && stat.nlink === 1n && was.held ? was : undefined
  }

  /** Files of the point that would be listed before `path` and have not been met: they are gone since. Without a path, all that are left. */
  *goneBefore(path?: string): Generator<{ readonly path: string; readonly was: AtPoint }> {
    for (let file = this.#files[this.#next]; file !== undefined; file = this.#files[this.#next]) {
      const order = path === undefined ? -1 : compareTreePaths(file, path)
      if (order > 0) return
      this.#next++
      if (order < 0) yield { path: file, was: this.#looked.get(file)! }
    }
  }
}
