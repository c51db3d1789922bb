import { randomUUID } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { fieldsOf } from './bson.ts'

export type Json = { readonly [key: string]: unknown }

/** An error as the server numbers them. */
export class ServerError extends Error {
  readonly code: number

  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

export type CollectionRow = {
  readonly db: string
  readonly name: string
  readonly uuid: string
  readonly type: 'collection' | 'view' | 'timeseries'
  readonly options: Json
}

const tables = `
  PRAGMA journal_mode = wal;
  PRAGMA synchronous = off;
  CREATE TABLE IF NOT EXISTS collections (db TEXT, name TEXT, uuid TEXT PRIMARY KEY, type TEXT, options TEXT, UNIQUE (db, name));
  CREATE TABLE IF NOT EXISTS indexes (uuid TEXT, name TEXT, spec TEXT, PRIMARY KEY (uuid, name));
  CREATE TABLE IF NOT EXISTS documents (seq INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT, id TEXT, bson BLOB, UNIQUE (uuid, id));
  CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT);
`

/** What a server holds, in a file that several processes use at once; every operation is one transaction, as a server's are on one document. */
export class Data {
  readonly #sqlite: DatabaseSync

  constructor(file: string) {
    this.#sqlite = new DatabaseSync(file, { timeout: 20_000 })
    this.#sqlite.exec(tables)
  }

  close(): void {
    this.#sqlite.close()
  }

  setting(name: string): string | undefined {
    const row = this.#sqlite.prepare('SELECT value FROM settings WHERE name = ?').get(name)
    return row?.['value'] as string | undefined
  }

  set(name: string, value: string): void {
    this.#sqlite.prepare('INSERT OR REPLACE INTO settings VALUES (?, ?)').run(name, value)
  }

  atOnce<T>(task: () => T): T {
    this.#sqlite.exec('BEGIN IMMEDIATE')
    try {
      const result = task()
      this.#sqlite.exec('COMMIT')
      return result
    } catch (error) {
      this.#sqlite.exec('ROLLBACK')
      throw error
    }
  }

  collections(db?: string): CollectionRow[] {
    const rows = this.#sqlite
      .prepare('SELECT * FROM collections WHERE db = coalesce(?, db) ORDER BY rowid')
      .all(db ?? null)
    return rows.map((row) => ({ ...row, options: JSON.parse(String(row['options'])) }) as CollectionRow)
  }

  collection(db: string, name: string): CollectionRow | undefined {
    return this.collections(db).find((each) => each.name === name)
  }

  create(db: string, name: string, options: Json = {}): CollectionRow {
    if (this.collection(db, name)) throw new ServerError(48, `Collection ${db}.${name} already exists.`)
    const type = 'viewOn' in options ? 'view' : 'timeseries' in options ? 'timeseries' : 'collection'
    const row = [db, name, randomUUID(), type, JSON.stringify(options)]
    this.#sqlite.prepare('INSERT INTO collections VALUES (?, ?, ?, ?, ?)').run(...row)
    return this.collection(db, name)!
  }

  rename(db: string, from: string, to: string): void {
    const source = this.collection(db, from)
    if (!source) throw new ServerError(26, `Source collection ${db}.${from} does not exist`)
    if (source.type !== 'collection') throw new ServerError(166, `cannot rename view: ${db}.${from}`)
    if (this.collection(db, to)) throw new ServerError(48, 'target namespace exists')
    this.#sqlite.prepare('UPDATE collections SET name = ? WHERE uuid = ?').run(to, source.uuid)
  }

  drop(db: string, name: string): void {
    const found = this.collection(db, name)
    if (!found) throw new ServerError(26, 'ns not found')
    for (const table of ['collections', 'indexes', 'documents']) {
      this.#sqlite.prepare(`DELETE FROM ${table} WHERE uuid = ?`).run(found.uuid)
    }
  }

  indexes(uuid: string): Json[] {
    const rows = this.#sqlite.prepare('SELECT spec FROM indexes WHERE uuid = ? ORDER BY rowid').all(uuid)
    return rows.map(({ spec }) => JSON.parse(String(spec)) as Json)
  }

  addIndex(uuid: string, spec: Json): void {
    this.#sqlite
      .prepare('INSERT INTO indexes VALUES (?, ?, ?)')
      .run(uuid, String(spec['name']), JSON.stringify({ v: { $numberInt: '2' }, ...spec }))
  }

  /** Documents in their natural order, from after a place in it. */
  documents(uuid: string, after = 0, limit = -1): { readonly seq: number; readonly bson: Uint8Array }[] {
    return this.#sqlite
      .prepare('SELECT seq, bson FROM documents WHERE uuid = ? AND seq > ? ORDER BY seq LIMIT ?')
      .all(uuid, after, limit) as never
  }

  /** Makes the collection where there is none, as a server does. */
  insert(db: string, name: string, bson: Uint8Array, options: { readonly bypass?: boolean } = {}): void {
    const found = this.collection(db, name) ?? this.create(db, name)
    if (found.type === 'view') throw new ServerError(166, `Namespace ${db}.${name} is a view, not a collection`)
    const fields = fieldsOf(bson)
    const required = (found.options as { validator?: { $jsonSchema?: { required?: string[] } } }).validator?.$jsonSchema
      ?.required
    if (!options.bypass && required?.some((field) => !fields.has(field))) {
      throw new ServerError(121, 'Document failed validation')
    }
    const id = fields.get('_id')
    try {
      this.#sqlite
        .prepare('INSERT INTO documents (uuid, id, bson) VALUES (?, ?, ?)')
        .run(found.uuid, id ?? randomUUID(), bson)
    } catch {
      throw new ServerError(
        11000,
        `E11000 duplicate key error collection: ${db}.${name} index: _id_ dup key: { _id: ${id} }`,
      )
    }
    const most = (found.options['max'] as { $numberInt: string } | undefined)?.$numberInt
    if (most === undefined) return
    const newest = 'SELECT seq FROM documents WHERE uuid = ? ORDER BY seq DESC LIMIT ?'
    this.#sqlite
      .prepare(`DELETE FROM documents WHERE uuid = ? AND seq NOT IN (${newest})`)
      .run(found.uuid, found.uuid, Number(most))
  }

  /** In its place, so the natural order stays. */
  replace(uuid: string, id: string, bson: Uint8Array): boolean {
    return (
      this.#sqlite.prepare('UPDATE documents SET bson = ? WHERE uuid = ? AND id = ?').run(bson, uuid, id).changes > 0
    )
  }

  upsert(db: string, name: string, bson: Uint8Array, options: { readonly bypass?: boolean } = {}): void {
    const found = this.collection(db, name)
    if (!found || !this.replace(found.uuid, fieldsOf(bson).get('_id')!, bson)) this.insert(db, name, bson, options)
  }

  remove(uuid: string, id: string): void {
    this.#sqlite.prepare('DELETE FROM documents WHERE uuid = ? AND id = ?').run(uuid, id)
  }
}
