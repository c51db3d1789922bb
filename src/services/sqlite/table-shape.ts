import type { DatabaseSync } from 'node:sqlite'
import { quoteName } from './sql.ts'

/** What is needed to copy a table's rows from one database to another and to compare them. */
export type TableShape = {
  /** Columns that are written; generated ones are not. */
  readonly columns: readonly string[]
  /** A name by which the rowid must be given along; undefined where a column is the rowid, there is none, or columns took all its names. */
  readonly rowid: string | undefined
  /** The rowid's name in SQL, be it a column's; undefined where there is none, or columns took all its names. */
  readonly rowidName: string | undefined
  /** Whether `INSERT … SELECT *` keeps everything, rowids too. */
  readonly whole: boolean
  /** Joins a row `m` to the same row `g`; undefined where rows have no key that SQL can name. */
  readonly key: string | undefined
  /** True when the rows `m` and `g` are equal in every value and its type. */
  readonly same: string
}

export function tableShape(database: DatabaseSync, schema: string, table: string): TableShape {
  const columns = database
    .prepare('SELECT name, pk, hidden FROM pragma_table_xinfo(?, ?) ORDER BY cid')
    .all(table, schema)
    .map((row) => ({ name: String(row['name']), key: Number(row['pk']) > 0, generated: Number(row['hidden']) >= 2 }))
  const list = database.prepare('SELECT wr FROM pragma_table_list(?) WHERE schema = ?').get(table, schema)
  const withoutRowid = Number(list?.['wr'] ?? 0) === 1
  const keyIndex = database.prepare(`SELECT 1 FROM pragma_index_list(?, ?) WHERE origin = 'pk'`).get(table, schema)
  const keys = columns.filter((column) => column.key)
  const rowidColumn = !withoutRowid && keys.length === 1 && keyIndex === undefined
  const taken = new Set(columns.map((column) => column.name.toLowerCase()))
  const alias = ['rowid', '_rowid_', 'oid'].find((name) => !taken.has(name))
  const rowid = withoutRowid || rowidColumn ? undefined : alias
  const keyNames = withoutRowid || rowidColumn ? keys.map((column) => quoteName(column.name)) : rowid ? [rowid] : []
  const terms = columns.map(({ name }) => {
    const column = quoteName(name)
    return `(typeof(m.${column}) = typeof(g.${column}) AND m.${column} COLLATE BINARY IS g.${column})`
  })
  return {
    columns: columns.filter((column) => !column.generated).map((column) => column.name),
    rowid,
    rowidName: withoutRowid ? undefined : rowidColumn ? keyNames[0] : alias,
    whole: (withoutRowid || rowidColumn) && !columns.some((column) => column.generated),
    key: keyNames.length > 0 ? keyNames.map((name) => `m.${name} = g.${name}`).join(' AND ') : undefined,
    same: allOf(terms),
  }
}

/** Joined by AND as a balanced tree: SQLite bounds the depth of an expression (1000), a table may have 2000 columns. */
function allOf(terms: readonly string[]): string {
  if (terms.length <= 1) return terms[0] ?? '1'
  const middle = Math.ceil(terms.length / 2)
  return `(${allOf(terms.slice(0, middle))} AND ${allOf(terms.slice(middle))})`
}
