import type { BigIntStats } from 'node:fs'
import { compareTreePaths } from '../../domain/tree.ts'
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

/** A folder, or a file of one name, as it was at the point. */
export type AtPoint = {
  readonly stat: BigIntStats
  /** What the file held: known since it was read ahead, or read at the point. */
  readonly held?: CacheLine | { readonly bytes: Uint8Array; readonly sparse: boolean }
}

/**
 * What of a mount was looked at while the writers of all services waited. A counter that one writer keeps in a database and in a file is
 * the same in both, although writers of files cannot be made to wait.
 */
export class PointView {
  readonly #looked: ReadonlyMap<string, AtPoint | undefined>
  /** Files that were there at the point, in the order of a listing; those behind `#next` are not listed yet. */
  readonly #files: readonly string[]
  #next = 0

  constructor(looked: ReadonlyMap<string, AtPoint | undefined> = new Map()) {
    this.#looked = looked
    this.#files = [...looked].flatMap(([path, was]) => (was?.held ? [path] : [])).sort(compareTreePaths)
  }

  static take(mount: Mount, paths: readonly string[], ahead: ReadonlyMap<string, CacheLine | undefined>): PointView {
    const looked = new Map<string, AtPoint | undefined>()
    const deadline = performance.now() + longestMs
    let bytes = 0
    for (const path of paths) {
      if (looked.size >= mostPaths || (looked.size >= leastPaths && performance.now() > deadline)) break
      if (mount.scope.leavesAlone(path)) continue
      const stat = lstat(mount, path)
      if (stat === undefined) looked.set(path, undefined)
      else if (stat.isDirectory()) looked.set(path, { stat })
      else if (stat.isFile() && stat.nlink === 1n) {
        const line = ahead.get(path)
        if (line !== undefined && isOf(line, identityOf(stat))) {
          looked.set(path, { stat, held: line })
          continue
        }
        const read = bytes + Number(stat.size) <= mostBytes ? readNow(mount, path) : undefined
        if (read === undefined) continue
        bytes += read.bytes.length
        looked.set(path, { stat: read.stat, held: read })
      }
    }
    return new PointView(looked)
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
    if (type === 'directory') return was.stat.isDirectory() ? was : undefined
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
