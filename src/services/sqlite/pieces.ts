import { closeSync, lstatSync, openSync, readSync } from 'node:fs'
import { systemCode } from '../../domain/errors.ts'
import { headerBytes, parseHeader } from './page-file.ts'

/** What SQLite may keep beside a database, by what is added to its name. The database itself is ''. */
export const suffixes = ['', '-wal', '-shm', '-journal'] as const
export type Suffix = (typeof suffixes)[number]

/** One of the files that make up a database, as it lies there. */
export type Piece = {
  readonly suffix: Suffix
  readonly bytes: number
  /** Permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Nanoseconds since 1970, in decimal. */
  readonly mtimeNs: string
  /** Names the file itself, wherever it is renamed to: device and inode, in decimal. */
  readonly identity: string
}

/** What can be told of a database without SQLite, which would recover or delete pieces on opening. */
export type Look = {
  readonly pieces: readonly Piece[]
  /**
   * `absent`: no piece at all; `empty`: only a file of no bytes, which is a database of nothing; `plain`: SQLite may open it;
   * `damaged`: it is certainly no whole database, and SQLite must keep its hands off.
   */
  readonly state: 'absent' | 'empty' | 'plain' | 'damaged'
  /** Why it is damaged. */
  readonly reason?: string
  readonly wal: boolean
}

export function pieceAt(path: string, suffix: Suffix): Piece | undefined {
  try {
    const stat = lstatSync(path + suffix, { bigint: true })
    return {
      suffix,
      bytes: Number(stat.size),
      mode: Number(stat.mode & 0o7777n),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      mtimeNs: String(stat.mtimeNs),
      identity: `${stat.dev}:${stat.ino}`,
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined
    throw error
  }
}

export function piecesAt(path: string): Piece[] {
  return suffixes.map((suffix) => pieceAt(path, suffix)).filter((piece) => piece !== undefined)
}

/**
 * Reads the first bytes of the live file, so it must run in a process that holds no SQLite handle on it:
 * closing a file drops every POSIX lock that the process has on it.
 */
export function look(path: string): Look {
  const pieces = piecesAt(path)
  const bytesOf = (suffix: Suffix) => pieces.find((piece) => piece.suffix === suffix)?.bytes
  const size = bytesOf('')
  if (pieces.length === 0) return { pieces, state: 'absent', wal: false }
  const damaged = (reason: string): Look => ({ pieces, state: 'damaged', reason, wal: false })
  if (size === undefined)
    return damaged(`the file is gone, ${pieces.map((piece) => piece.suffix).join(', ')} left behind`)
  const companions = (bytesOf('-wal') ?? 0) + (bytesOf('-journal') ?? 0)
  if (size === 0)
    return companions === 0 ? { pieces, state: 'empty', wal: false } : damaged('the file is empty, its log is not')
  const header = parseHeader(readHeader(path))
  if (!header) return damaged('the file is no SQLite database')
  if (companions === 0 && size < (header.pages ?? 1) * header.pageSize) {
    return damaged(`the file is cut short: ${size} bytes of ${(header.pages ?? 1) * header.pageSize}`)
  }
  return { pieces, state: 'plain', wal: header.wal }
}

function readHeader(path: string): Buffer {
  const file = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(headerBytes)
    return bytes.subarray(0, readSync(file, bytes, 0, headerBytes, 0))
  } finally {
    closeSync(file)
  }
}
