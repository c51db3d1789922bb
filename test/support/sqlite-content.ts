import { createHash, hash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

/**
 * What a database holds, exactly: definitions in order, and every row with its rowid, each value with its type and its bits.
 * Of what SQLite cannot read whole: the bytes of the raw files. Only for files that this process has no handle on.
 */
export function sqliteContent(file: string): string {
  const raw = rawContent(file)
  if (raw.state !== 'database') return `${raw.state} ${raw.digest}`
  const database = new DatabaseSync(file, { readOnly: true, timeout: 30_000, enableForeignKeyConstraints: false })
  try {
    const check = database.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
    return check === 'ok' ? contentOf(database) : `damaged ${raw.digest}`
  } catch {
    return `damaged ${raw.digest}`
  } finally {
    database.close()
  }
}

function rawContent(file: string): { state: 'absent' | 'damaged' | 'empty' | 'database'; digest: string } {
  const sum = createHash('sha256')
  const bytes = new Map<string, Buffer>()
  for (const suffix of ['', '-wal', '-journal']) {
    if (!existsSync(file + suffix)) continue
    bytes.set(suffix, readFileSync(file + suffix))
    sum.update(`${suffix} ${hash('sha256', bytes.get(suffix)!)}\n`)
  }
  const main = bytes.get('')
  const digest = sum.digest('hex')
  if (bytes.size === 0) return { state: 'absent', digest }
  if (main?.length === 0 && bytes.size === 1) return { state: 'empty', digest }
  if (main?.toString('latin1', 0, 15) !== 'SQLite format 3') return { state: 'damaged', digest }
  const cut = main.length < main.readUInt32BE(28) * main.readUInt16BE(16)
  return { state: cut && !bytes.get('-wal')?.length ? 'damaged' : 'database', digest }
}

function contentOf(database: DatabaseSync): string {
  const sum = createHash('sha256')
  const schema = database
    .prepare('SELECT rowid, type, name, tbl_name, sql, rootpage FROM sqlite_schema ORDER BY rowid')
    .all()
  for (const { rowid, type, name, tbl_name, sql } of schema)
    sum.update(JSON.stringify([rowid, type, name, tbl_name, sql]))
  for (const pragma of ['user_version', 'application_id', 'encoding']) {
    sum.update(JSON.stringify(database.prepare(`PRAGMA ${pragma}`).get()))
  }
  for (const { type, name, rootpage } of schema) {
    if (type === 'table' && rootpage !== 0) addRows(database, String(name), (bytes) => sum.update(bytes))
  }
  return sum.digest('hex')
}

function addRows(database: DatabaseSync, table: string, add: (bytes: string | Uint8Array) => void): void {
  const columns = database.prepare('SELECT name FROM pragma_table_xinfo(?)').all(table)
  const withoutRowid = database.prepare('SELECT wr FROM pragma_table_list(?)').get(table)?.['wr'] === 1
  const names = columns.map((column) => `"${String(column['name']).replaceAll('"', '""')}"`)
  const alias = ['rowid', '_rowid_', 'oid'].find((name) => !names.includes(`"${name}"`))
  const values = names.map(
    (name) => `typeof(${name}), CASE typeof(${name}) WHEN 'text' THEN CAST(${name} AS BLOB) ELSE ${name} END`,
  )
  const rowid = withoutRowid || alias === undefined ? [] : [alias]
  const read = database.prepare(`SELECT ${[...rowid, ...values].join(', ')} FROM "${table.replaceAll('"', '""')}"`)
  read.setReadBigInts(true)
  read.setReturnArrays(true)
  add(`table ${table}`)
  for (const row of read.iterate() as Iterable<unknown>) {
    for (const value of row as unknown[]) add(bytesOf(value))
  }
}

function bytesOf(value: unknown): string | Uint8Array {
  if (value instanceof Uint8Array) return Buffer.concat([Buffer.from(`blob ${value.length} `), value])
  if (typeof value !== 'number') return `${typeof value} ${String(value)} `
  const bits = Buffer.alloc(8)
  bits.writeDoubleBE(value)
  return bits
}
