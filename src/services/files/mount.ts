import picomatch from 'picomatch'
import { displayPath, isWithin, parentPath } from '../../domain/tree.ts'
import type { Trace } from '../../system/trace.ts'

/** A mount as its parts see it. Paths below it are byte strings (see ../../domain/tree.ts), `''` is the mount's own folder. */
export type Mount = {
  readonly name: string
  /** Absolute real path, as a byte string. */
  readonly root: string
  readonly scope: Scope
  /** Absolute; outlives the command. */
  readonly privateDirectory: string
  readonly trace: Trace
  readonly signal: AbortSignal
}

/** Names that git-env gives to its own staging folders, where one must lie inside a mount. */
export const stagingPrefix = '.git-env-'

/** What below a mount is the mount's, and what is left exactly as it is: never captured, staged over, moved or removed. */
export class Scope {
  readonly #foreign: ReadonlySet<string>
  readonly #isExcluded: (path: string) => boolean

  /** `foreign` are paths below the mount, `exclude` are patterns. */
  constructor(foreign: ReadonlySet<string>, exclude: readonly string[]) {
    this.#foreign = foreign
    const match = exclude.length === 0 ? undefined : picomatch(exclude.map(excludePattern), { dot: true })
    this.#isExcluded = match ? (path) => match(displayPath(path)) : () => false
  }

  /** Whether this path, and all below it if it is a folder, is left alone. Asked for every folder from the top down. */
  leavesAlone(path: string): boolean {
    if (path === '') return false
    return this.#foreign.has(path) || path.startsWith(stagingPrefix) || this.#isExcluded(path)
  }
}

/** `cache/**` is all in the folder, not the folder: an application finds it again, empty, after a restore. */
function excludePattern(pattern: string): string {
  const plain = pattern.replace(/^\.?\/+/, '').replace(/\/+$/, '')
  return plain.endsWith('/**') ? `${plain}/*` : plain
}

/** Foreign paths, absolute byte strings, as paths below the mount. */
export function foreignBelow(root: string, foreign: ReadonlySet<string>): Set<string> {
  const below = new Set<string>()
  for (const path of foreign) if (path !== root && isWithin(root, path)) below.add(path.slice(root.length + 1))
  return below
}

/** A path below the mount as Node's file functions take it. */
export function at(mount: Pick<Mount, 'root'>, path: string): Buffer {
  return Buffer.from(path === '' ? mount.root : `${mount.root}/${path}`, 'latin1')
}

/** The folder whose entry a path is: for the mount itself the one around it. As Node's file functions take it. */
export function folderOf(mount: Pick<Mount, 'root'>, path: string): Buffer {
  return path === '' ? Buffer.from(parentPath(mount.root) || '/', 'latin1') : at(mount, parentPath(path))
}

/** How people see a path below the mount: with the mount's own folder as `.`. */
export function shown(path: string): string {
  return path === '' ? '.' : displayPath(path)
}
