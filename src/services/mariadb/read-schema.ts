import { readMarkerComment } from './marker.ts'
import { byName, isOwnName, literal, quoted } from './names.ts'
import {
  type CodeDefinition,
  type ColumnDefinition,
  createAs,
  keepsRows,
  type RoutineDefinition,
  type Schema,
  type SequenceDefinition,
  splitCreate,
  type TableDefinition,
} from './schema.ts'
import { atLeast, type ServerFacts } from './server.ts'
import { isServerError, type Row, type Session } from './session.ts'

/** A table or sequence as it lies there, and the name that it is meant to have. */
export type Place = { readonly actual: string; readonly name: string }

export type Listed = {
  readonly name: string
  readonly kind: 'table' | 'sequence' | 'view'
  readonly engine: string
  readonly versioned: boolean
  /** About how many bytes it holds. */
  readonly bytes: number
}

/** Tables, sequences and views of a database in the order of names, also our own. */
export async function listTables(session: Session, database: string): Promise<Listed[]> {
  const rows = await session.query(
    `SELECT TABLE_NAME name, TABLE_TYPE type, ENGINE engine, DATA_LENGTH bytes FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${literal(database)}`,
  )
  return rows
    .map((row) => ({
      name: row['name']!,
      kind:
        row['type'] === 'SEQUENCE'
          ? ('sequence' as const)
          : /VIEW/.test(row['type']!)
            ? ('view' as const)
            : ('table' as const),
      engine: row['engine'] ?? '',
      versioned: row['type'] === 'SYSTEM VERSIONED',
      bytes: Number(row['bytes'] ?? 0),
    }))
    .sort(byName)
}

/**
 * All of a database but what is git-env's own. The session must use this database: then definitions do not name it.
 * Counters of sequences are left empty: they are read where they stand still, by {@link readCounters}.
 */
export async function readSchema(session: Session, facts: ServerFacts, database: string): Promise<Schema> {
  const listed = (await listTables(session, database)).filter(({ name }) => !isOwnName(name))
  const named = (kind: Listed['kind']) =>
    listed.filter((each) => each.kind === kind).map(({ name }) => ({ actual: name, name }))
  return {
    version: 1,
    database: await readDatabase(session, database),
    tables: await readTables(session, facts, database, named('table')),
    sequences: await readSequences(
      session,
      named('sequence').map(({ name }) => name),
    ),
    views: await readViews(
      session,
      named('view').map(({ name }) => name),
    ),
    routines: await readRoutines(session, database),
    triggers: await readTriggers(session, database),
    events: await readEvents(session, database),
  }
}

async function readDatabase(session: Session, database: string): Promise<Schema['database']> {
  const row = await session.first(`SELECT * FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ${literal(database)}`)
  return {
    charset: row?.['DEFAULT_CHARACTER_SET_NAME'] ?? '',
    collation: row?.['DEFAULT_COLLATION_NAME'] ?? '',
    comment: readMarkerComment(row?.['SCHEMA_COMMENT'] ?? '').comment,
  }
}

export async function readTables(
  session: Session,
  facts: ServerFacts,
  database: string,
  places: readonly Place[],
): Promise<TableDefinition[]> {
  if (places.length === 0) return []
  const columns = await columnsByTable(session, facts, database)
  const keys = await keysByTable(session, database)
  const tables: TableDefinition[] = []
  for (const { actual, name } of places) {
    const row = await session.first(`SHOW CREATE TABLE ${quoted(actual)}`)
    const text = stripDatabase(row?.['Create Table'] ?? '', database)
    const engine = /^\) ENGINE=(\S+)/m.exec(text)?.[1] ?? ''
    const split = splitCreate(createAs(text, name))
    const history = historyOf(facts, text, columns.get(actual) ?? [])
    tables.push({
      name,
      engine,
      ...split,
      columns: keepsRows(engine) ? [...storedColumns(columns.get(actual) ?? []), ...(history ?? [])] : [],
      order: keepsRows(engine) ? orderOf(keys.get(actual) ?? [], history) : [],
      history: history !== undefined,
    })
  }
  return tables.sort(byName)
}

/** A column's default names a sequence with its database; left out where it is this one. */
function stripDatabase(create: string, database: string): string {
  return create.replaceAll(/\b(nextval|lastval)\(`((?:[^`]|``)+)`\./g, (all, call: string, name: string) =>
    name.replaceAll('``', '`') === database ? `${call}(` : all,
  )
}

async function columnsByTable(session: Session, facts: ServerFacts, database: string): Promise<Map<string, Row[]>> {
  const extra = facts.product === 'MariaDB' ? 'IS_GENERATED generated, ' : ''
  const rows = await session.query(
    `SELECT TABLE_NAME tab, COLUMN_NAME name, DATA_TYPE type, EXTRA extra, ${extra}GENERATION_EXPRESSION expression FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ${literal(database)} ORDER BY TABLE_NAME, ORDINAL_POSITION`,
  )
  return Map.groupBy(rows, (row) => row['tab']!)
}

async function keysByTable(session: Session, database: string): Promise<Map<string, Row[]>> {
  const rows = await session.query(
    `SELECT TABLE_NAME tab, INDEX_NAME name, COLUMN_NAME col, SUB_PART part, NULLABLE nullable FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ${literal(database)} AND NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX`,
  )
  return Map.groupBy(rows, (row) => row['tab']!)
}

function isGenerated(row: Row): boolean {
  return row['generated'] === 'ALWAYS' || /\b(VIRTUAL|STORED|PERSISTENT)\b/.test(row['extra'] ?? '')
}

function storedColumns(rows: readonly Row[]): ColumnDefinition[] {
  return rows.filter((row) => !isGenerated(row)).map((row) => ({ name: row['name']!, type: row['type']! }))
}

/** Beginning and end of the rows' time, where the server can take them back in; by transaction number it cannot. */
function historyOf(facts: ServerFacts, create: string, rows: readonly Row[]): ColumnDefinition[] | undefined {
  if (!/ WITH SYSTEM VERSIONING/.test(create) || !atLeast(facts, 10, 11)) return undefined
  const named = ['ROW START', 'ROW END'].map((text) => rows.find((row) => row['expression'] === text))
  if (named.every((row) => row === undefined)) {
    return ['row_start', 'row_end'].map((name) => ({ name, type: 'timestamp' }))
  }
  if (named.some((row) => row?.['type'] !== 'timestamp')) return undefined
  return named.map((row) => ({ name: row!['name']!, type: 'timestamp' }))
}

/** The primary key, else a unique key without NULL; a key on parts of its columns orders only roughly. */
function orderOf(keys: readonly Row[], history: readonly ColumnDefinition[] | undefined): string[] {
  const byIndex = Map.groupBy(keys, (row) => row['name']!)
  const usable = [...byIndex].filter(([, columns]) =>
    columns.every((row) => row['nullable'] !== 'YES' && row['part'] === null && row['col'] !== null),
  )
  const chosen = usable.find(([name]) => name === 'PRIMARY') ?? usable[0]
  const columns = chosen?.[1].map((row) => row['col']!) ?? []
  return history && columns.length > 0
    ? [...columns.filter((name) => name !== history[1]!.name), history[1]!.name]
    : columns
}

async function readSequences(session: Session, names: readonly string[]): Promise<SequenceDefinition[]> {
  const sequences: SequenceDefinition[] = []
  for (const name of names) {
    const create = (await session.first(`SHOW CREATE SEQUENCE ${quoted(name)}`))?.['Create Table'] ?? ''
    sequences.push({ name, create, next: '', round: '' })
  }
  return sequences
}

/** The same sequences with what they will give next. */
export async function readCounters(
  session: Session,
  sequences: readonly SequenceDefinition[],
): Promise<SequenceDefinition[]> {
  if (sequences.length === 0) return []
  const each = sequences.map(
    ({ name }, i) => `SELECT ${i} i, next_not_cached_value next, cycle_count round FROM ${quoted(name)}`,
  )
  const rows = await session.query(each.join(' UNION ALL '))
  return rows.map((row) => ({ ...sequences[Number(row['i'])]!, next: row['next']!, round: row['round']! }))
}

async function readViews(session: Session, names: readonly string[]): Promise<CodeDefinition[]> {
  const views: CodeDefinition[] = []
  for (const name of names) {
    const row = await session.first(`SHOW CREATE VIEW ${quoted(name)}`)
    views.push({ name, create: row?.['Create View'] ?? '', ...charsets(row) })
  }
  return views
}

function charsets(row: Row | undefined): Pick<CodeDefinition, 'charset' | 'collation'> {
  return { charset: row?.['character_set_client'] ?? '', collation: row?.['collation_connection'] ?? '' }
}

/** Routines whose text our user may not see are left out; {@link hiddenRoutines} names them. */
async function readRoutines(session: Session, database: string): Promise<RoutineDefinition[]> {
  const routines: RoutineDefinition[] = []
  for (const { name, kind } of await listRoutines(session, database)) {
    const row = await session.first(`SHOW CREATE ${kind} ${quoted(name)}`).catch(ifGone)
    const create = row?.[`Create ${titleOf(kind)}`]
    if (create) routines.push({ name, kind, create, sqlMode: row!['sql_mode'] ?? '', ...charsets(row) })
  }
  return routines.sort((a, b) => byName(a, b) || (a.kind < b.kind ? -1 : 1))
}

export async function hiddenRoutines(session: Session, database: string): Promise<string[]> {
  const hidden: string[] = []
  for (const { name, kind } of await listRoutines(session, database)) {
    const row = await session.first(`SHOW CREATE ${kind} ${quoted(name)}`).catch(ifGone)
    if (!row?.[`Create ${titleOf(kind)}`]) hidden.push(name)
  }
  return hidden
}

async function listRoutines(
  session: Session,
  database: string,
): Promise<{ name: string; kind: RoutineDefinition['kind'] }[]> {
  const rows = await session.query(
    `SELECT ROUTINE_NAME name, ROUTINE_TYPE kind FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ${literal(database)}`,
  )
  return rows.map((row) => ({ name: row['name']!, kind: row['kind'] as RoutineDefinition['kind'] }))
}

function titleOf(kind: string): string {
  return kind
    .split(' ')
    .map((word) => word.charAt(0) + word.slice(1).toLowerCase())
    .join(' ')
}

function ifGone(error: unknown): undefined {
  if (isServerError(error, 1305, 1227, 1370, 1360)) return undefined
  throw error
}

/** In the order in which they have to be made: those of one table and event one after the other. */
async function readTriggers(session: Session, database: string): Promise<Schema['triggers']> {
  const rows = await session.query(
    `SELECT TRIGGER_NAME name, EVENT_OBJECT_TABLE tab, SQL_MODE mode FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ${literal(database)} ORDER BY EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER`,
  )
  const triggers: Schema['triggers'][number][] = []
  for (const { name, tab, mode } of rows) {
    if (isOwnName(tab!)) continue
    const row = await session.first(`SHOW CREATE TRIGGER ${quoted(name!)}`).catch(ifGone)
    const create = row?.['SQL Original Statement'] ?? ''
    triggers.push({ name: name!, table: tab!, create, sqlMode: mode ?? '', ...charsets(row) })
  }
  return triggers
}

async function readEvents(session: Session, database: string): Promise<Schema['events']> {
  const rows = await session.query(
    `SELECT EVENT_NAME name FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ${literal(database)}`,
  )
  const events: Schema['events'][number][] = []
  for (const { name } of rows) {
    const row = await session.first(`SHOW CREATE EVENT ${quoted(name!)}`).catch(ifGone)
    if (!row) continue
    const { sql_mode, time_zone } = row
    events.push({
      name: name!,
      create: row['Create Event'] ?? '',
      sqlMode: sql_mode ?? '',
      timeZone: time_zone ?? '',
      ...charsets(row),
    })
  }
  return events.sort(byName)
}
