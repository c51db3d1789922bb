import type { DatabaseSync } from 'node:sqlite'
import { type RowCursor, skipVarint, smallVarint } from './btree.ts'
import { quoteName } from './sql.ts'

type Field = { readonly type: number; readonly body: Buffer }

/** Fills the records of one table that were written before a column was added (`ALTER TABLE … ADD COLUMN` rewrites none). */
export type MissingFields = {
  /** Values that a whole record of the table holds. */
  readonly columns: number
  /** The row's cell as it would be if it were written now; `row` is its place in key order, from 0. */
  complete(cursor: RowCursor, row: number): Buffer
}

export function missingFields(database: DatabaseSync, table: string): MissingFields {
  const stored = storedColumns(database, table)
  const defaults = new Map<number, Field>()
  const fieldAt = (index: number, row: number): Field => {
    const field = defaults.get(index) ?? defaultField(database, table, stored[index]!, row)
    defaults.set(index, field)
    return field
  }
  return {
    columns: stored.length,
    complete(cursor, row) {
      const record = cursor.record()
      const headerEnd = smallVarint(record, 0)
      const types = record.subarray(skipVarint(record, 0), headerEnd)
      let present = 0
      for (let at = 0; at < types.length; at = skipVarint(types, at)) present++
      const added = stored.slice(present).map((_, i) => fieldAt(present + i, row))
      const header = Buffer.concat([types, ...added.map((field) => varint(field.type))])
      const whole = Buffer.concat([
        headerLength(header.length),
        header,
        record.subarray(headerEnd),
        ...added.map((field) => field.body),
      ])
      const lengthEnd = skipVarint(cursor.cell, 0)
      const rowid = cursor.cell.subarray(lengthEnd, cursor.cell.length - cursor.local.length)
      return Buffer.concat([varint(whole.length), rowid, whole])
    },
  }
}

type Column = { readonly name: string; readonly real: boolean }

/** The columns of a table's records in the order in which they are stored: by definition, or primary key first without rowid. */
function storedColumns(database: DatabaseSync, table: string): Column[] {
  const all = database.prepare(`SELECT cid, name, type, hidden FROM pragma_table_xinfo(?)`).all(table)
  const column = (row: Record<string, unknown>): Column => ({
    name: String(row['name']),
    real: isReal(String(row['type'])),
  })
  const list = database.prepare(`SELECT wr FROM pragma_table_list(?) WHERE schema = 'main'`).get(table)
  if (Number(list?.['wr'] ?? 0) === 0) return all.filter((row) => row['hidden'] !== 2).map(column)
  const key = database.prepare(`SELECT name FROM pragma_index_list(?) WHERE origin = 'pk'`).get(table)
  const order = database.prepare('SELECT cid FROM pragma_index_xinfo(?) ORDER BY seqno').all(String(key?.['name']))
  return order.map(({ cid }) => column(all.find((row) => row['cid'] === cid)!))
}

/** Whether a declared type has REAL affinity. Source: sqlite.org/datatype3.html, section 3.1. */
function isReal(declared: string): boolean {
  return !/INT|CHAR|CLOB|TEXT|BLOB/i.test(declared) && /REAL|FLOA|DOUB/i.test(declared)
}

/** What SQLite reads for a value that the record leaves out, as it would store it. */
function defaultField(database: DatabaseSync, table: string, column: Column, row: number): Field {
  const name = quoteName(column.name)
  const read = database.prepare(
    `SELECT typeof(${name}) AS type, CAST(${name} AS BLOB) AS bytes, ${name} AS value
     FROM ${quoteName(table)} LIMIT 1 OFFSET ${row}`,
  )
  read.setReadBigInts(true)
  const { type, bytes, value } = read.get() as { type: string; bytes: Uint8Array | null; value: unknown }
  if (type === 'integer') return integerField(value as bigint)
  if (type === 'real') return realField(value as number, column.real)
  const body = Buffer.from(bytes ?? [])
  if (type === 'text') return { type: 13 + 2 * body.length, body }
  if (type === 'blob') return { type: 12 + 2 * body.length, body }
  return { type: 0, body: Buffer.alloc(0) }
}

function integerField(value: bigint): Field {
  if (value === 0n || value === 1n) return { type: value === 0n ? 8 : 9, body: Buffer.alloc(0) }
  const widths = [1, 2, 3, 4, 6, 8]
  const index = widths.findIndex((width) => BigInt.asIntN(width * 8, value) === value)
  const width = widths[index]!
  const body = Buffer.alloc(8)
  body.writeBigInt64BE(value)
  return { type: index + 1, body: body.subarray(8 - width) }
}

/** A column of REAL affinity stores whole numbers of up to 48 bits as integers. */
function realField(value: number, realColumn: boolean): Field {
  if (realColumn && Number.isInteger(value) && Math.abs(value) < 2 ** 47) return integerField(BigInt(value))
  const body = Buffer.alloc(8)
  body.writeDoubleBE(value)
  return { type: 7, body }
}

function varint(value: number): Buffer {
  const bytes = [value % 128]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) bytes.unshift((rest % 128) | 0x80)
  return Buffer.from(bytes)
}

/** The length of a record's header counts itself. */
function headerLength(rest: number): Buffer {
  const one = varint(rest + 1)
  return one.length === 1 ? one : varint(rest + varint(rest + 2).length)
}
