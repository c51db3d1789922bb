import type { Row, Session } from './session.ts'
import { qualified, quoteName } from './sql.ts'

/** A table of the database whose rows are captured: ordinary, a partition, unlogged, or one that an extension says is configuration. */
export type Table = {
  /** Of the catalog; another after the table was made anew. */
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly bytes: number
  /** Those that are written; generated ones are not. */
  readonly columns: readonly string[]
  /** Columns that tell rows apart: of the primary key, else of a unique index without NULLs; none where there is neither. */
  readonly key: readonly string[]
  /** Which rows of an extension's table are the database's own. */
  readonly condition: string
  /** Whether this user may make its writers wait. */
  readonly lockable: boolean
  readonly readable: boolean
}

/** Above this a table without a key is given in the order in which it lies, since sorting it costs more than it saves. */
const mostSortedBytes = 256 * 2 ** 20

/** Sessions search nothing but the catalog, so nothing here needs a schema's name. */
const inDatabase = `n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'`
const notOfExtension = (catalog: string, oid: string) =>
  `NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '${catalog}'::regclass AND d.objid = ${oid} AND d.deptype = 'e')`

const indexColumns = (which: string) => `
  (SELECT json_agg(a.attname ORDER BY k.nr) FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k(att, nr), pg_attribute a
    WHERE i.indexrelid = (${which}) AND k.nr <= i.indnkeyatts AND a.attrelid = i.indrelid AND a.attnum = k.att)`
const primary = `SELECT p.indexrelid FROM pg_index p WHERE p.indrelid = c.oid AND p.indisprimary AND p.indisvalid`
const unique = `SELECT u.indexrelid FROM pg_index u JOIN pg_class uc ON uc.oid = u.indexrelid
  WHERE u.indrelid = c.oid AND u.indisunique AND u.indisvalid AND u.indimmediate AND u.indpred IS NULL AND u.indexprs IS NULL
    AND NOT EXISTS (SELECT FROM unnest(u.indkey::int2[]) k(att), pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum = k.att AND NOT a.attnotnull)
  ORDER BY uc.relname COLLATE "C" LIMIT 1`

/** Ordered by name. */
export async function listTables(session: Session): Promise<Table[]> {
  return (await session.query(tablesQuery)).map(tableOf).toSorted(byName)
}

const tablesQuery = `
  SELECT c.oid, n.nspname AS schema, c.relname AS name, pg_relation_size(c.oid) AS bytes,
    (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
    coalesce(${indexColumns(primary)}, ${indexColumns(unique)}) AS key,
    (SELECT e.extcondition[array_position(e.extconfig, c.oid)] FROM pg_extension e WHERE c.oid = ANY (e.extconfig)) AS condition,
    has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') AS lockable, has_table_privilege(c.oid, 'SELECT') AS readable
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND ${inDatabase}
    AND (${notOfExtension('pg_class', 'c.oid')} OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))`

function tableOf(row: Row): Table {
  return {
    oid: Number(row['oid']),
    schema: row['schema']!,
    name: row['name']!,
    bytes: Number(row['bytes']),
    columns: JSON.parse(row['columns'] ?? '[]') as string[],
    key: JSON.parse(row['key'] ?? '[]') as string[],
    condition: row['condition'] ?? '',
    lockable: row['lockable'] === 't',
    readable: row['readable'] === 't',
  }
}

function byName(a: { schema: string; name: string }, b: { schema: string; name: string }): number {
  const [left, right] = [displayName(a), displayName(b)]
  return left < right ? -1 : left > right ? 1 : 0
}

/** As people and `--only` name it: `public.albums`. */
export function displayName({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${schema}.${name}`
}

/** The stream of a table. A dot or another odd character in a name is written as `%` and two hexadecimal digits, so that names stay apart. */
export function streamName({ schema, name }: { readonly schema: string; readonly name: string }): string {
  const plain = (part: string) =>
    part.replaceAll(
      /[%./\\\u0000-\u001f\u007f]/g,
      (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
    )
  return `table/${plain(schema)}.${plain(name)}`
}

export function columnList(columns: readonly string[]): string {
  return columns.map(quoteName).join(', ')
}

/** Rows as they are captured: in the order of the key, so that the same rows give the same bytes wherever they lie. */
export function copyOutStatement(
  table: Table,
  encoding: string,
  order: 'canonical' | 'as it lies' = 'canonical',
): string {
  const by = table.key.length > 0 ? columnList(table.key) : `t.*::text COLLATE "C"`
  const sorted = order === 'canonical' && isSorted(table)
  const from = `SELECT ${columnList(table.columns)} FROM ONLY ${qualified(table.schema, table.name)} t`
  return `COPY (${from} ${table.condition}${sorted ? ` ORDER BY ${by}` : ''}) TO STDOUT (ENCODING '${encoding}')`
}

/** Whether the same rows always give the same stream. */
export function isCanonical(table: Table): boolean {
  return table.columns.length === 0 || isSorted(table)
}

function isSorted(table: Table): boolean {
  return table.columns.length > 0 && (table.key.length > 0 || table.bytes <= mostSortedBytes)
}

export function copyInStatement(target: string, columns: readonly string[], encoding: string, more = ''): string {
  const list = columns.length > 0 ? ` (${columnList(columns)})` : ''
  return `COPY ${target}${list} FROM STDIN (ENCODING '${encoding}'${more})`
}

export type Sequence = { readonly schema: string; readonly name: string; readonly readable: boolean }

export async function listSequences(session: Session): Promise<Sequence[]> {
  const rows = await session.query(`
    SELECT n.nspname AS schema, c.relname AS name, has_sequence_privilege(c.oid, 'SELECT') AS readable
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND ${inDatabase}
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')`)
  return rows
    .map((row) => ({ schema: row['schema']!, name: row['name']!, readable: row['readable'] === 't' }))
    .toSorted(byName)
}

/** Where a sequence stands: `[schema, name, last value, whether that was given out]`. Values are texts, since they may have 64 bits. */
export type SequenceValue = readonly [schema: string, name: string, last: string, called: boolean]

/** One statement that reads them all, for the moment of the point: their values do not follow a transaction's view. */
export function sequenceQuery(sequences: readonly Sequence[]): string | undefined {
  const readable = sequences.filter((each) => each.readable)
  if (readable.length === 0) return undefined
  return readable
    .map((each, nr) => `SELECT ${nr} AS nr, last_value, is_called FROM ${qualified(each.schema, each.name)}`)
    .join(' UNION ALL ')
}

export function sequenceValues(sequences: readonly Sequence[], rows: readonly Row[]): SequenceValue[] {
  const readable = sequences.filter((each) => each.readable)
  return rows
    .toSorted((a, b) => Number(a['nr']) - Number(b['nr']))
    .map((row) => {
      const { schema, name } = readable[Number(row['nr'])]!
      return [schema, name, row['last_value']!, row['is_called'] === 't']
    })
}

/** Pages of all large objects, `oid, offset, bytes`, in that order. */
export const largeObjectsQuery = `
  SELECT m.oid, p.page * 262144 AS at, lo_get(m.oid, p.page * 262144, 262144) AS bytes
  FROM pg_largeobject_metadata m,
    LATERAL (SELECT lo_lseek64(lo_open(m.oid, 262144), 0, 2) AS size) s,
    LATERAL generate_series(0, (s.size - 1) / 262144) p(page)
  ORDER BY m.oid, p.page`
