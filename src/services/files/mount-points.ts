import { readFileSync } from 'node:fs'
import { systemCode } from '../../domain/errors.ts'
import { isWithin, parentPath } from '../../domain/tree.ts'

/**
 * Paths below a folder, byte strings, at which something else is mounted. Device numbers tell of most, but not of bind mounts; the
 * kernel's list does where there is one. Such a folder moves along with one it lies in, and removing that would empty what is mounted.
 */
export function mountPointsBelow(root: string): string[] {
  let list: string
  try {
    list = readFileSync('/proc/self/mountinfo', 'latin1')
  } catch (error) {
    // Not Linux: no bind mounts.
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
  return list
    .split('\n')
    .map((line) => unescaped(line.split(' ')[4] ?? ''))
    .filter((point) => point !== root && isWithin(root, point))
    .map((point) => point.slice(root.length + 1))
}

/** Whether another file system is mounted at the folder itself. */
export function isMountPoint(root: string): boolean {
  return mountPointsBelow(parentPath(root)).includes(root.slice(parentPath(root).length + 1))
}

/** The kernel writes blank, tab, newline and backslash as three octal digits. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
