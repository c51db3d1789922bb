import {
  chmodSync,
  closeSync,
  constants,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  unlinkSync,
} from 'node:fs'
import { systemCode } from '../../domain/errors.ts'
import { ordinaryUser } from './rights.ts'

/** Of file systems that have no hard links, or none of this file. */
const noLink = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EACCES', 'EXDEV'])

/** Elsewhere `link` names what a symlink points to. */
const linksSymlinks = process.platform === 'linux'

/**
 * Gives something a name that nothing has; false when something has it. `rename` would replace a file or symlink that turned up there in
 * the same instant, so those get the new name as a second one, which fails if it is taken, and lose the old one after. A folder needs no
 * such care: `rename` replaces at most an empty folder. Where there are no hard links, a name taken between the look and the rename, some
 * microseconds, is lost; Node has no rename that refuses.
 */
export function moveToFreeName(from: Buffer, to: Buffer): boolean {
  const stat = lstatSync(from, { bigint: true })
  if (stat.isFile() || (stat.isSymbolicLink() && linksSymlinks)) {
    try {
      linkSync(from, to)
      unlinkSync(from)
      return true
    } catch (error) {
      const code = systemCode(error) ?? ''
      if (code === 'EEXIST') return finishInterrupted(from, to, stat.ino)
      if (!noLink.has(code)) throw error
    }
  }
  if (lstatSync(to, { throwIfNoEntry: false })) return false
  openFolder(from)
  try {
    renameSync(from, to)
    return true
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(systemCode(error) ?? '')) return false
    throw error
  }
}

/** A process that was killed between giving the new name and taking the old one left both. */
function finishInterrupted(from: Buffer, to: Buffer, inode: bigint): boolean {
  const there = lstatSync(to, { bigint: true, throwIfNoEntry: false })
  if (there?.ino !== inode || there.dev !== lstatSync(from, { bigint: true }).dev) return false
  unlinkSync(from)
  return true
}

/**
 * For an ordinary user a folder must be writable for its entries to change, and to be moved itself. The owner may make it so; whoever calls
 * sets its mode back.
 */
export function openFolder(folder: Buffer): void {
  const user = ordinaryUser()
  if (user === undefined) return
  const stat = lstatSync(folder, { throwIfNoEntry: false })
  if (!stat?.isDirectory() || stat.uid !== user || (stat.mode & 0o300) === 0o300) return
  chmodSync(folder, (stat.mode & 0o7777) | 0o700)
}

/** Paths are bytes, which `syncDirectory` does not take. Folders that went again, or that cannot be synced, have nothing to lose. */
export function syncFolder(folder: Buffer): void {
  let descriptor: number | undefined
  try {
    descriptor = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
    fsyncSync(descriptor)
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP'].includes(systemCode(error) ?? ''))
      throw error
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}
