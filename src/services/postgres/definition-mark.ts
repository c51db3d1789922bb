import type { Session } from './session.ts'

/** How many rows each of these catalogs has, without what sessions make for themselves: tells that something was dropped. */
export type DefinitionMark = Readonly<Record<string, number>>

const lasting = (column: string) => `${column} IN (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)')`
const lastingClass = (column: string) => `${column} IN (SELECT oid FROM pg_class WHERE ${lasting('relnamespace')})`

const catalogs: Readonly<Record<string, string>> = {
  pg_attrdef: lastingClass('adrelid'),
  pg_attribute: lastingClass('attrelid'),
  pg_class: lasting('relnamespace'),
  pg_constraint: lasting('connamespace'),
  pg_description: 'true',
  pg_enum: 'true',
  pg_event_trigger: 'true',
  pg_extension: 'true',
  pg_index: lastingClass('indrelid'),
  pg_inherits: lastingClass('inhrelid'),
  pg_namespace: `nspname !~ '^pg_(temp|toast)'`,
  pg_policy: 'true',
  pg_proc: 'true',
  pg_publication_rel: 'true',
  pg_rewrite: lastingClass('ev_class'),
  pg_sequence: lastingClass('seqrelid'),
  pg_trigger: lastingClass('tgrelid'),
  pg_type: lasting('typnamespace'),
}

/** Counts the catalogs' rows; with a transaction, those that it or a later one wrote as well. */
export async function definitionMark(
  session: Session,
  since?: string,
): Promise<{ counts: DefinitionMark; later: number }> {
  const later = since === undefined ? '0' : `count(*) FILTER (WHERE age(xmin) <= age('${since}'::xid))`
  const parts = Object.entries(catalogs).map(
    ([name, where]) => `SELECT '${name}' AS name, count(*) AS rows, ${later} AS later FROM ${name} WHERE ${where}`,
  )
  const rows = await session.query(parts.join(' UNION ALL '))
  return {
    counts: Object.fromEntries(rows.map((row) => [row['name']!, Number(row['rows'])])),
    later: rows.reduce((sum, row) => sum + Number(row['later']), 0),
  }
}
