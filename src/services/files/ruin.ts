import { EnvError } from '../../domain/errors.ts'
import { displayPath } from '../../domain/tree.ts'
import type { Mount } from './mount.ts'
import { linkTarget, lstat } from './walk.ts'

/** What stands in the place of a mount's folder (`a file, not a folder`); undefined when the folder is there, or nothing is. */
export function describeRuin(mount: Mount): string | undefined {
  const stat = lstat(mount, '')
  if (!stat || stat.isDirectory()) return undefined
  const target = stat.isSymbolicLink() ? linkTarget(mount, '') : undefined
  return target === undefined ? 'a file, not a folder' : `a symlink to ${displayPath(target)}, where no folder is`
}

/** Throws `damaged` when something else stands in the place of a mount's folder. */
export function refuseRuin(mount: Mount): void {
  const ruin = describeRuin(mount)
  if (ruin === undefined) return
  throw new EnvError('damaged', `mount ${mount.name}: ${displayPath(mount.root)} is ${ruin}`, { hint: ruinHint })
}

export const ruinHint = 'git env restore brings the folder back and keeps what stands there for git env undo'
