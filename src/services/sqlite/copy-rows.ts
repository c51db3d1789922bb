import type { DatabaseSync } from 'node:sqlite'
import { EnvError } from '../../domain/errors.ts'
import type { RowDiff } from './row-diff.ts'
import { quoteName } from './sql.ts'
import type { TableShape } from './table-shape.ts'

/**
 * Writes all rows of a table anew from the attached `goal`, and compares them; gives how many.
 * `SELECT *` between equal tables lets SQLite copy records and indexes as they are; it keeps rowids only where they are a key.
 */
export function copyTable(live: DatabaseSync, name: string, shape: TableShape): number {
  const table = quoteName(name)
  live.exec(`DELETE FROM main.${table}`)
  const columns = columnList(shape)
  const insert = shape.whole
    ? `INSERT INTO main.${table} SELECT * FROM goal.${table}`
    : `INSERT INTO main.${table} (${columns}) SELECT ${columns} FROM goal.${table}`
  const rows = Number(live.prepare(insert).run().changes)
  const wanted = count(live, `goal.${table}`)
  const equal = shape.key
    ? count(live, `main.${table} AS m JOIN goal.${table} AS g ON ${shape.key} WHERE ${shape.same}`)
    : wanted - count(live, `(SELECT * FROM goal.${table} EXCEPT SELECT * FROM main.${table})`)
  requireEqual(name, wanted, equal, count(live, `main.${table}`))
  return rows
}

/**
 * Writes only the rows that differ. All that go are gone before the first comes, so no unique key can be in the way.
 * The others were compared byte for byte when the difference was found.
 */
export function copyRows(live: DatabaseSync, name: string, shape: TableShape, diff: RowDiff): number {
  const table = quoteName(name)
  const rowid = shape.rowidName
  live.exec('CREATE TEMP TABLE removed (id INTEGER PRIMARY KEY); CREATE TEMP TABLE added (id INTEGER PRIMARY KEY)')
  for (const [kind, ids] of Object.entries(diff)) {
    const insert = live.prepare(`INSERT INTO temp.${kind} VALUES (?)`)
    for (const id of ids) insert.run(id)
  }
  const columns = columnList(shape)
  const ids = `SELECT id FROM temp.added`
  live.exec(`
    DELETE FROM main.${table} WHERE ${rowid} IN (SELECT id FROM temp.removed);
    INSERT INTO main.${table} (${columns}) SELECT ${columns} FROM goal.${table} WHERE ${rowid} IN (${ids})`)
  const join = `main.${table} AS m JOIN goal.${table} AS g ON ${shape.key} WHERE g.${rowid} IN (${ids})`
  const equal = count(live, `${join} AND ${shape.same}`)
  const left = count(live, `main.${table} WHERE ${rowid} IN (SELECT id FROM temp.removed EXCEPT ${ids})`)
  requireEqual(name, diff.added.length, equal, diff.added.length + left)
  requireEqual(name, count(live, `goal.${table}`), count(live, `main.${table}`), count(live, `goal.${table}`))
  live.exec('DROP TABLE temp.removed; DROP TABLE temp.added')
  return diff.added.length
}

function columnList({ rowid, columns }: TableShape): string {
  return [...(rowid === undefined ? [] : [rowid]), ...columns.map(quoteName)].join(', ')
}

function count(live: DatabaseSync, from: string): number {
  return Number(live.prepare(`SELECT count(*) AS n FROM ${from}`).get()?.['n'])
}

/** Every row of the copy, value for value and type for type, and no other. */
function requireEqual(table: string, wanted: number, equal: number, present: number): void {
  if (wanted === equal && wanted === present) return
  throw new EnvError('damaged', `table ${table} was not written as it was stored`, {
    details: { table, wanted, equal, present },
  })
}
