import { type DigestedCopy, openCopy, readSchema, type TableDigest } from './digest.ts'
import { changedPages, PageFile } from './page-file.ts'
import { diffRows, type RowDiff } from './row-diff.ts'

/** Beyond this many, or this share of a table's rows, it is quicker to write the table anew. */
const mostRows = 200_000
const largestShare = 0.2

/** How the tables of one copy become those of another: what a rewrite needs to know before it begins. */
export type Comparison = {
  /** Tables with the same rows. */
  readonly equal: ReadonlySet<string>
  /** Of tables that differ in few rows, which. */
  readonly diffs: ReadonlyMap<string, RowDiff>
}

/** `earlier` is what was found for another copy, `untouched` the tables that are the same there: those are not compared again. */
export function compareCopies(
  live: DigestedCopy,
  goal: DigestedCopy,
  earlier: Comparison | undefined = undefined,
  untouched: ReadonlySet<string> = new Set(),
): Comparison {
  const wanted = new Map(goal.digest.tables.map((table) => [table.name, table]))
  const equal = new Set<string>()
  const diffs = new Map<string, RowDiff>()
  const files = { live: new PageFile(live.path), goal: new PageFile(goal.path) }
  const roots = { live: rowidRoots(live.path), goal: rowidRoots(goal.path) }
  try {
    // SQLite itself writes its own tables (`sqlite_sequence`, `sqlite_stat1`) when others are dropped or filled: they are always written anew.
    for (const table of live.digest.tables.filter(({ name }) => !name.startsWith('sqlite_'))) {
      const other = wanted.get(table.name)
      const known = untouched.has(table.name) ? earlier?.diffs.get(table.name) : undefined
      const [from, to] = [roots.live.get(table.name), roots.goal.get(table.name)]
      if (other?.digest === table.digest) equal.add(table.name)
      else if (known) diffs.set(table.name, known)
      else if (other && from && to && !(untouched.has(table.name) && earlier)) {
        const limit = Math.min(mostRows, Math.max(100, other.rows * largestShare))
        const diff = diffRows({ file: files.live, root: from }, { file: files.goal, root: to }, limit)
        if (diff) diffs.set(table.name, diff)
      }
    }
    return { equal, diffs }
  } finally {
    files.live.close()
    files.goal.close()
  }
}

/** Where the rows of each table with rowids begin. */
function rowidRoots(path: string): Map<string, number> {
  const copy = openCopy(path)
  try {
    const without = copy.prepare(`SELECT name FROM pragma_table_list WHERE schema = 'main' AND wr = 1`).all()
    const names = new Set(without.map((row) => String(row['name'])))
    const tables = readSchema(copy).filter((row) => row.type === 'table' && row.root > 0 && !names.has(row.name))
    return new Map(tables.map((row) => [row.name, row.root]))
  } finally {
    copy.close()
  }
}

/**
 * Tables none of whose pages differ from those of an earlier copy, by their key: from its root such a table is reached
 * through the same bytes in both.
 */
export function untouchedTables(earlier: DigestedCopy, copy: string): Map<string, TableDigest> {
  const before = new PageFile(earlier.path)
  const after = new PageFile(copy)
  try {
    const changed = changedPages(before, after)
    if (!changed) return new Map()
    const touched = new Set([...changed].map((page) => earlier.owners[page] ?? -1))
    const { tables } = earlier.digest
    const untouched = tables.map((_, index) => index).filter((index) => !touched.has(index))
    return new Map(untouched.map((index) => [earlier.keys[index]!, tables[index]!]))
  } finally {
    before.close()
    after.close()
  }
}
