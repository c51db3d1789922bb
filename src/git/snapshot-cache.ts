import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Trigger } from '../domain/manifest.ts'
import type { SnapshotCommit } from './git-repository.ts'

const version = 2
/** So few are read from Git faster than from a file; and so few new ones are not worth writing it again. */
export const worthCaching = 64

/** What listed snapshot commits say, by commit; null for one that is no snapshot. Commits never change, so neither does this. */
export type CachedSnapshots = Map<string, SnapshotCommit | null>

/** A file that is missing, damaged or another version's counts as empty: Git has it all. */
export async function readSnapshotCache(file: string): Promise<CachedSnapshots> {
  try {
    const [found, rows] = JSON.parse(await readFile(file, 'utf8')) as [number, [string, CachedRow | null][]]
    if (found !== version) return new Map()
    return new Map(rows.map(([commit, row]) => [commit, row && fromRow(commit, row)]))
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

/** As an array, in which ten thousand are read twice as fast as with the names of their members. */
type CachedRow = [
  id: string,
  parent: string,
  tree: string,
  environment: string,
  message: string,
  trigger: Trigger,
  manifest: string,
  code: string,
  partial: boolean,
  createdAt: number,
  expiresAt: number | null,
  name: string | null,
  changes: string | null,
]

function toRow(snapshot: SnapshotCommit): CachedRow {
  const { id, parent, tree, environment, message, trigger, manifest, code, partial, createdAt } = snapshot
  const { expiresAt, name = null, changes = null } = snapshot
  const times = [createdAt.getTime(), expiresAt?.getTime() ?? null] as const
  return [id, parent, tree, environment, message, trigger, manifest, code, partial, ...times, name, changes]
}

function fromRow(commit: string, row: CachedRow): SnapshotCommit {
  const [
    id,
    parent,
    tree,
    environment,
    message,
    trigger,
    manifest,
    code,
    partial,
    createdAt,
    expiresAt,
    name,
    changes,
  ] = row
  return {
    id,
    commit,
    parent,
    tree,
    environment,
    name: name ?? undefined,
    message,
    trigger,
    manifest,
    code,
    partial,
    createdAt: new Date(createdAt),
    expiresAt: expiresAt === null ? undefined : new Date(expiresAt),
    changes: changes ?? undefined,
  }
}
