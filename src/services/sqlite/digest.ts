import { createHash, hash } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { RowCursor, skipVarint, smallVarint } from './btree.ts'
import { PageFile } from './page-file.ts'
import { missingFields } from './short-records.ts'

/** One row of `sqlite_schema`, as SQLite keeps it. */
export type SchemaRow = {
  readonly rowid: number
  readonly type: 'table' | 'index' | 'view' | 'trigger'
  readonly name: string
  readonly table: string
  readonly root: number
  readonly sql: string | null
}

export type TableDigest = {
  readonly name: string
  readonly rows: number
  readonly digest: string
}

/** What a database copy holds, by content. */
export type DatabaseDigest = {
  /** Tables with rows of their own, in the order of `sqlite_schema` (virtual tables have none; their shadow tables do). */
  readonly tables: readonly TableDigest[]
  /** Virtual tables, by the digest of their definition. */
  readonly virtual: readonly TableDigest[]
  readonly schema: { readonly entries: number; readonly digest: string }
  readonly journalMode: 'wal' | 'delete'
  readonly pageSize: number
  readonly encoding: string
  readonly userVersion: number
  readonly applicationId: number
}

export type DigestedCopy = {
  readonly path: string
  readonly digest: DatabaseDigest
  /** Which table each page belongs to: an index into `digest.tables`, or -1. */
  readonly owners: Int32Array
  /** Per table: its name, its definition and where its pages begin. A table with the same key and the same pages has the same digest. */
  readonly keys: readonly string[]
}

/** Opens a copy that nobody writes: without locks, and without a -wal or -shm made beside it. */
export function openCopy(path: string): DatabaseSync {
  return new DatabaseSync(`${pathToFileURL(path).href}?immutable=1`, {
    readOnly: true,
    enableForeignKeyConstraints: false,
  })
}

export function readSchema(database: DatabaseSync, schema = 'main'): SchemaRow[] {
  const rows = database
    .prepare(`SELECT rowid, type, name, tbl_name, rootpage, sql FROM ${schema}.sqlite_schema ORDER BY rowid`)
    .all()
  return rows.map((row) => ({
    rowid: Number(row['rowid']),
    type: row['type'] as SchemaRow['type'],
    name: String(row['name']),
    table: String(row['tbl_name']),
    root: Number(row['rootpage']),
    sql: row['sql'] === null ? null : String(row['sql']),
  }))
}

/** Digest of the definitions alone: equal when `.schema` is equal, in text and order. */
function schemaDigest(rows: readonly SchemaRow[]): string {
  return hash('sha256', JSON.stringify(rows.map(({ type, name, table, sql }) => [type, name, table, sql])))
}

/** Digests every table of a copy; those whose key is in `known` are taken over unread. */
export function digestCopy(path: string, known: ReadonlyMap<string, TableDigest> = new Map()): DigestedCopy {
  const database = openCopy(path)
  const file = new PageFile(path)
  try {
    const schema = readSchema(database)
    const stored = schema.filter((row) => row.type === 'table' && row.root > 0)
    const keys = stored.map(({ name, root, sql }) => JSON.stringify([name, root, sql]))
    const owners = new Int32Array(file.pageCount + 1).fill(-1)
    const tables = stored.map((row, index) => {
      const own = (page: number) => {
        owners[page] = index
      }
      return known.get(keys[index]!) ?? digestTable(database, file, row, own)
    })
    const pragma = (name: string) => database.prepare(`PRAGMA ${name}`).get()?.[name]
    const digest = {
      tables,
      virtual: schema
        .filter((row) => row.type === 'table' && row.root === 0)
        .map(({ name, sql }) => ({ name, rows: 0, digest: hash('sha256', sql ?? '') })),
      schema: { entries: schema.length, digest: schemaDigest(schema) },
      journalMode: file.header.wal ? ('wal' as const) : ('delete' as const),
      pageSize: file.header.pageSize,
      encoding: String(pragma('encoding')),
      userVersion: Number(pragma('user_version')),
      applicationId: Number(pragma('application_id')),
    }
    return { path, digest, owners, keys }
  } finally {
    file.close()
    database.close()
  }
}

const scratchBytes = 262_144

/**
 * SHA-256 over a table's rows in key order, each as the bytes of its cell: length, rowid, record. A record names the type of every value,
 * so integers, reals, texts (also with NUL or invalid UTF-8) and blobs are told apart exactly. Values that a record leaves out, because
 * its column was added later, are filled in: a row is the same before and after it is written again.
 */
function digestTable(
  database: DatabaseSync,
  file: PageFile,
  table: SchemaRow,
  visit: (page: number) => void,
): TableDigest {
  const sum = createHash('sha256')
  const scratch = Buffer.allocUnsafe(scratchBytes)
  let used = 0
  const add = (bytes: Uint8Array) => {
    if (used + bytes.length > scratchBytes) {
      sum.update(scratch.subarray(0, used))
      used = 0
    }
    if (bytes.length > scratchBytes) return void sum.update(bytes)
    scratch.set(bytes, used)
    used += bytes.length
  }
  const shape = missingFields(database, table.name)
  const cursor = new RowCursor(file, table.root, visit)
  let rows = 0
  for (; cursor.next(); rows++) {
    if (countFields(cursor) < shape.columns) {
      add(shape.complete(cursor, rows))
      continue
    }
    add(cursor.cell)
    if (cursor.overflow > 0) for (const part of cursor.overflowParts()) add(part)
  }
  sum.update(scratch.subarray(0, used))
  return { name: table.name, rows, digest: sum.digest('hex') }
}

/** How many values a record holds. Only a header longer than the page's part of the record needs the rest. */
function countFields(cursor: RowCursor): number {
  const start = skipVarint(cursor.local, 0)
  const headerEnd = smallVarint(cursor.local, 0)
  const header = headerEnd <= cursor.local.length ? cursor.local : cursor.record()
  let fields = 0
  for (let at = start; at < headerEnd; at = skipVarint(header, at)) fields++
  return fields
}
