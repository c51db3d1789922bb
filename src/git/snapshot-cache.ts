import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { SnapshotCommit } from './git-repository.ts'

const version = 1
/** So few are read from Git faster than from a file; and so few new ones are not worth writing it again. */
export const worthCaching = 64

/** What listed snapshot commits say, by commit; null for one that is no snapshot. Commits never change, so neither does this. */
export type CachedSnapshots = Map<string, SnapshotCommit | null>

/** A file that is missing, damaged or another version's counts as empty: Git has it all. */
export async function readSnapshotCache(file: string): Promise<CachedSnapshots> {
  try {
    const [found, rows] = JSON.parse(await readFile(file, 'utf8')) as [number, [string, CachedRow | null][]]
    if (found !== version) return new Map()
    return new Map(rows.map(([commit, row]) => [commit, row && fromRow(row)]))
  } catch {
    return new Map()
  }
}

/** Best effort and without fsync: a cache that is lost is made again. */
export async function writeSnapshotCache(file: string, cached: CachedSnapshots): Promise<void> {
  const temporary = `${file}.${process.pid}.new`
  try {
    await mkdir(path.dirname(file), { recursive: true })
    const rows = [...cached].map(([commit, snapshot]) => [commit, snapshot && toRow(snapshot)])
    await writeFile(temporary, JSON.stringify([version, rows]), { mode: 0o600 })
    await rename(temporary, file)
  } catch {
    await rm(temporary, { force: true })
  }
}

type CachedRow = Omit<SnapshotCommit, 'createdAt' | 'expiresAt'> & { createdAt: number; expiresAt: number | undefined }

function toRow(snapshot: SnapshotCommit): CachedRow {
  return { ...snapshot, createdAt: snapshot.createdAt.getTime(), expiresAt: snapshot.expiresAt?.getTime() }
}

function fromRow(row: CachedRow): SnapshotCommit {
  const { name, changes } = row
  const expiresAt = row.expiresAt === undefined ? undefined : new Date(row.expiresAt)
  return { ...row, name, changes, createdAt: new Date(row.createdAt), expiresAt }
}
