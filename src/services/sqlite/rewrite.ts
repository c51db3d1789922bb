import type { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { EnvError } from '../../domain/errors.ts'
import type { Comparison } from './comparison.ts'
import { copyRows, copyTable } from './copy-rows.ts'
import { readSchema, type SchemaRow } from './digest.ts'
import { quoteName, quoteText } from './sql.ts'
import { tableShape } from './table-shape.ts'

export type Rewrite = {
  /** The copy whose content the live database is to have. */
  readonly goal: string
  /** How the live data, as it is inside the hold, differs from the goal. */
  readonly comparison: Comparison
  /** Only these tables, with their indexes and triggers; everything else stays. */
  readonly only?: readonly string[] | undefined
  /** The schema version to end with: it tells other connections, and us, that the content was replaced. */
  readonly cookie: number
  readonly progress: (rows: number) => void
}

export type Rewritten = {
  /** Tables whose rows were written again. */
  readonly tables: readonly string[]
  readonly rows: number
}

/**
 * Makes the content of the live database that of a copy, inside the write transaction that its connection has open; does not commit.
 * Rows keep their rowids, no trigger fires, and `sqlite_schema` ends in the copy's order and text. Only tables that differ are written.
 * Compares what it wrote with the copy, and throws `damaged` when a single value differs.
 */
export function rewriteInPlace(live: DatabaseSync, rewrite: Rewrite): Rewritten {
  attach(live, rewrite.goal)
  live.exec('PRAGMA ignore_check_constraints = ON; PRAGMA writable_schema = ON')
  const wanted = planSchema(live, rewrite.only)
  const goal = desiredSchema(live)
  const before = readSchema(live)
  removeProgram(live)
  dropTables(live, before, goal)
  const made = createTables(live, goal)
  const differs = (row: SchemaRow) => made.has(row.name) || !rewrite.comparison.equal.has(row.name)
  const changed = goal.filter((row) => isStored(row) && (wanted === undefined || wanted.has(row.name)) && differs(row))
  const rows = copyTables(live, changed, goal, rewrite, made)
  if (wanted) copySequences(live, wanted)
  finishSchema(live, rewrite)
  verifySchema(live, rewrite.cookie)
  return { tables: changed.map((row) => row.name), rows }
}

/** Once it is committed or given up: the same connection may have to take it back. */
export function forgetRewrite(live: DatabaseSync): void {
  live.exec('DROP TABLE IF EXISTS temp.desired; DROP TABLE IF EXISTS temp.wanted')
  const attached = live.prepare(`SELECT 1 FROM pragma_database_list WHERE name = 'goal'`).get()
  if (attached) live.exec('DETACH goal')
}

function attach(live: DatabaseSync, goal: string): void {
  const attached = live.prepare(`SELECT 1 FROM pragma_database_list WHERE name = 'goal'`).get()
  if (attached) throw new EnvError('bug', 'a copy is attached to the live database already')
  live.exec(`ATTACH ${quoteText(`${pathToFileURL(goal).href}?immutable=1&mode=ro`)} AS goal`)
}

/** Tables, views, triggers with a table of their own pages: what stores rows. */
function isStored(row: SchemaRow): boolean {
  return row.type === 'table' && row.root > 0
}

/**
 * Writes down in `temp.desired` what `sqlite_schema` shall hold: by SQL, so that not even an odd text is changed.
 * Gives the tables that may be written; undefined for all.
 */
function planSchema(live: DatabaseSync, only: readonly string[] | undefined): ReadonlySet<string> | undefined {
  live.exec(
    'CREATE TEMP TABLE desired (place INTEGER PRIMARY KEY, type, name, tbl_name, stored, sql, UNIQUE (type, name))',
  )
  const columns = 'type, name, tbl_name, rootpage > 0, sql'
  if (only === undefined) {
    live.exec(`INSERT INTO temp.desired SELECT rowid, ${columns} FROM goal.sqlite_schema`)
    return undefined
  }
  live.exec('CREATE TEMP TABLE wanted (name PRIMARY KEY) WITHOUT ROWID')
  const add = live.prepare('INSERT OR IGNORE INTO temp.wanted VALUES (?)')
  const wanted = new Set(wantedTables(live, only))
  for (const name of wanted) add.run(name)
  live.exec(`
    INSERT INTO temp.desired (type, name, tbl_name, stored, sql)
      SELECT ${columns} FROM main.sqlite_schema WHERE tbl_name NOT IN wanted ORDER BY rowid;
    INSERT INTO temp.desired (type, name, tbl_name, stored, sql)
      SELECT ${columns} FROM goal.sqlite_schema WHERE tbl_name IN wanted ORDER BY rowid;
    INSERT OR IGNORE INTO temp.desired (type, name, tbl_name, stored, sql)
      SELECT ${columns} FROM goal.sqlite_schema WHERE name = 'sqlite_sequence'
        AND EXISTS (SELECT 1 FROM temp.desired WHERE name IN wanted AND sql LIKE '%autoincrement%')`)
  return wanted
}

/** The last numbers that the named tables gave out. */
function copySequences(live: DatabaseSync, wanted: ReadonlySet<string>): void {
  const has = (schema: string) => readSchema(live, schema).some((row) => row.name === 'sqlite_sequence')
  if (!has('main') || wanted.has('sqlite_sequence')) return
  live.exec('DELETE FROM main.sqlite_sequence WHERE name IN wanted')
  if (!has('goal')) return
  live.exec(
    'INSERT INTO main.sqlite_sequence (name, seq) SELECT name, seq FROM goal.sqlite_sequence WHERE name IN wanted',
  )
}

/** The tables named, and with a virtual table those that it keeps its data in (`docs` → `docs_data`, …). */
function wantedTables(live: DatabaseSync, only: readonly string[]): string[] {
  const rows = [...readSchema(live, 'goal'), ...readSchema(live, 'main')].filter((row) => row.type === 'table')
  return only.flatMap((name) => {
    const own = rows.filter((row) => row.name === name)
    if (own.length === 0)
      throw new EnvError('not-found', `no table ${JSON.stringify(name)} in the snapshot or the database`)
    const parts = own.some((row) => row.root === 0) ? rows.filter((row) => row.name.startsWith(`${name}_`)) : []
    return [name, ...parts.map((row) => row.name)]
  })
}

function desiredSchema(live: DatabaseSync): SchemaRow[] {
  const rows = live.prepare('SELECT place, type, name, tbl_name, stored, sql FROM temp.desired ORDER BY place').all()
  return rows.map((row) => ({
    rowid: Number(row['place']),
    type: row['type'] as SchemaRow['type'],
    name: String(row['name']),
    table: String(row['tbl_name']),
    root: Number(row['stored']),
    sql: row['sql'] === null ? null : String(row['sql']),
  }))
}

/**
 * Takes views, triggers and virtual tables out of the schema without running anything of theirs, so that no trigger fires, and the tables
 * in which virtual tables keep their data are tables like others. They are put back as text at the end.
 */
function removeProgram(live: DatabaseSync): void {
  live.exec(`
    DELETE FROM main.sqlite_schema WHERE type IN ('view', 'trigger') OR (type = 'table' AND rootpage = 0);
    PRAGMA writable_schema = RESET;
    PRAGMA writable_schema = ON`)
}

/** Drops tables and indexes that shall not be, or shall be otherwise. */
function dropTables(live: DatabaseSync, before: readonly SchemaRow[], goal: readonly SchemaRow[]): void {
  const wanted = new Map(goal.map((row) => [`${row.type} ${row.name}`, row]))
  const stays = (row: SchemaRow) => {
    const other = wanted.get(`${row.type} ${row.name}`)
    return other !== undefined && other.sql === row.sql && other.table === row.table && other.root > 0
  }
  for (const row of before)
    if (row.type === 'index' && row.sql !== null && !stays(row)) live.exec(`DROP INDEX main.${quoteName(row.name)}`)
  for (const row of before) if (isStored(row) && !stays(row)) dropTable(live, row.name)
}

/** `sqlite_sequence` cannot be dropped under its own name. */
function dropTable(live: DatabaseSync, name: string): void {
  let present = name
  if (name === 'sqlite_sequence') {
    present = 'former_sqlite_sequence'
    live.exec(`
      UPDATE main.sqlite_schema SET name = '${present}', tbl_name = '${present}', sql = 'CREATE TABLE ${present}(name,seq)'
        WHERE name = 'sqlite_sequence';
      PRAGMA writable_schema = RESET;
      PRAGMA writable_schema = ON`)
  }
  live.exec(`DROP TABLE main.${quoteName(present)}`)
}

/** Makes the tables that are missing, from their own text; gives their names. */
function createTables(live: DatabaseSync, goal: readonly SchemaRow[]): Set<string> {
  const made = new Set<string>()
  const exists = live.prepare(`SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?`)
  for (const row of goal) {
    if (!isStored(row)) continue
    if (exists.get(row.name) === undefined) {
      live.prepare(row.sql ?? '').run()
      made.add(row.name)
    }
  }
  return made
}

function createIndexes(live: DatabaseSync, goal: readonly SchemaRow[], table: string): void {
  const exists = live.prepare(`SELECT 1 FROM main.sqlite_schema WHERE type = 'index' AND name = ?`)
  for (const row of goal) {
    if (row.type !== 'index' || row.sql === null || row.table !== table) continue
    if (exists.get(row.name) === undefined) live.prepare(row.sql).run()
  }
}

function copyTables(
  live: DatabaseSync,
  changed: readonly SchemaRow[],
  goal: readonly SchemaRow[],
  rewrite: Rewrite,
  made: ReadonlySet<string>,
): number {
  let rows = 0
  const sequenceLast = (row: SchemaRow) => (row.name === 'sqlite_sequence' ? 1 : 0)
  for (const { name } of [...changed].sort((a, b) => sequenceLast(a) - sequenceLast(b))) {
    const shape = tableShape(live, 'goal', name)
    const diff = made.has(name) || shape.rowidName === undefined ? undefined : rewrite.comparison.diffs.get(name)
    if (shape.whole || diff) createIndexes(live, goal, name)
    rows += diff ? copyRows(live, name, shape, diff) : copyTable(live, name, shape)
    createIndexes(live, goal, name)
    rewrite.progress(rows)
  }
  for (const row of goal) if (row.type === 'table') createIndexes(live, goal, row.name)
  return rows
}

/** Puts views, triggers and virtual tables back as they are written, sets order, text, and the numbers in the header. */
function finishSchema(live: DatabaseSync, { cookie, only }: Rewrite): void {
  live.exec(`
    INSERT INTO main.sqlite_schema (type, name, tbl_name, rootpage, sql)
      SELECT type, name, tbl_name, 0, sql FROM temp.desired WHERE type IN ('view', 'trigger') OR (type = 'table' AND NOT stored);
    UPDATE main.sqlite_schema SET rowid = -rowid;
    UPDATE main.sqlite_schema SET (rowid, tbl_name, sql) =
      (SELECT place, d.tbl_name, d.sql FROM temp.desired AS d WHERE d.type = sqlite_schema.type AND d.name = sqlite_schema.name)`)
  if (only === undefined) {
    for (const name of ['user_version', 'application_id']) {
      live.exec(`PRAGMA main.${name} = ${Number(live.prepare(`PRAGMA goal.${name}`).get()?.[name])}`)
    }
  }
  live.exec(`PRAGMA main.schema_version = ${cookie}`)
}

/** Reads the schema again from its text, as other connections will, and compares it with what was to be. */
function verifySchema(live: DatabaseSync, cookie: number): void {
  live.exec('PRAGMA writable_schema = RESET')
  const difference = live
    .prepare(`SELECT count(*) AS n FROM (
      SELECT rowid, type, name, tbl_name, sql FROM main.sqlite_schema
      EXCEPT SELECT place, type, name, tbl_name, sql FROM temp.desired)`)
    .get()
  const counts = live
    .prepare('SELECT (SELECT count(*) FROM main.sqlite_schema) - (SELECT count(*) FROM temp.desired) AS n')
    .get()
  const version = live.prepare('PRAGMA main.schema_version').get()?.['schema_version']
  if (difference?.['n'] !== 0 || counts?.['n'] !== 0 || version !== cookie) {
    throw new EnvError('damaged', 'the tables were not defined as they were stored')
  }
  live.exec('DROP TABLE temp.desired; DROP TABLE IF EXISTS temp.wanted')
}
