import { createHash } from 'node:crypto'
import { EnvError } from '../../domain/errors.ts'
import {
  columnList,
  copyInStatement,
  copyOutStatement,
  displayName,
  isCanonical,
  type SequenceValue,
  type Table,
} from './catalog.ts'
import { sequenceStatements } from './load.ts'
import { readRows } from './row-files.ts'
import type { TableChange } from './rows-plan.ts'
import type { Session } from './session.ts'
import { qualified, quoteName } from './sql.ts'

/** One table with the rows to be changed loaded beside it, in tables of this connection alone. */
export type LoadedChange = {
  readonly table: Table
  readonly change: TableChange
  readonly removed: string
  readonly added: string
}

let count = 0

/** Loads what is to be changed into temporary tables. Touches nothing live. */
export async function loadChange(
  session: Session,
  table: Table,
  change: TableChange,
  encoding: string,
): Promise<LoadedChange> {
  const nr = ++count
  const loaded = { table, change, removed: `pg_temp.git_env_removed_${nr}`, added: `pg_temp.git_env_added_${nr}` }
  for (const side of ['removed', 'added'] as const) {
    const from = `SELECT ${columnList(table.columns)} FROM ONLY ${qualified(table.schema, table.name)} WITH NO DATA`
    await session.run(`CREATE TEMPORARY TABLE ${loaded[side].slice(8)} AS ${from}`)
    await session.copyIn(copyInStatement(loaded[side], table.columns, encoding), readRows(change[side]))
    await session.run(`ANALYZE ${loaded[side]}`)
  }
  return loaded
}

/** Who applies changes: `isReplica` fires no ordinary trigger and checks no foreign key; `checksKeys` has foreign keys checked all the same. */
export type Applying = { readonly isReplica: boolean; readonly checksKeys: boolean }

/**
 * Applies the changes in the transaction that holds the tables. Triggers, rules and foreign keys stay out of it: the rows were
 * right together when they were captured. Nothing is committed.
 */
export async function applyChanges(
  session: Session,
  changes: readonly LoadedChange[],
  { isReplica, checksKeys }: Applying,
): Promise<void> {
  const tables = changes.map(({ table }) => table)
  const triggers = await silence(session, tables, isReplica)
  const keys = isReplica && !checksKeys ? [] : await dropForeignKeys(session, tables)
  for (const change of changes) await session.run(await deletion(session, change))
  for (const { table, added } of changes) {
    const columns = columnList(table.columns)
    const target = qualified(table.schema, table.name)
    await session.run(
      table.columns.length === 0
        ? `INSERT INTO ${target} SELECT FROM ${added}`
        : `INSERT INTO ${target} (${columns}) OVERRIDING SYSTEM VALUE SELECT ${columns} FROM ${added}`,
    )
  }
  for (const statement of keys) await session.run(statement)
  for (const statement of triggers) await session.run(statement)
}

/** Makes a session a replica, for which the server fires no ordinary trigger. For superusers, and those to whom it was granted. */
export async function becomeReplica(session: Session): Promise<boolean> {
  try {
    await session.run('SET session_replication_role = replica')
    return true
  } catch (error) {
    if (!(error instanceof EnvError) || error.code !== 'refused') throw error
    return false
  }
}

/** Switches triggers and rules off, and gives the statements that bring each back as it was. */
async function silence(session: Session, tables: readonly Table[], isReplica: boolean): Promise<string[]> {
  const rows = await session.query(
    `SELECT 'TRIGGER' AS kind, tgrelid::regclass AS table, tgname AS name, tgenabled AS mode FROM pg_trigger
      WHERE tgrelid = ANY ($1::oid[]) AND NOT tgisinternal AND tgenabled <> 'D'
    UNION ALL SELECT 'RULE', ev_class::regclass, rulename, ev_enabled FROM pg_rewrite WHERE ev_class = ANY ($1::oid[]) AND ev_type <> '1' AND ev_enabled <> 'D'`,
    [oids(tables)],
  )
  const back: string[] = []
  for (const { kind, table, name, mode } of rows) {
    if (isReplica && mode === 'O') continue
    const alter = `ALTER TABLE ${table}`
    await session.run(`${alter} DISABLE ${kind} ${quoteName(name!)}`)
    back.push(`${alter} ENABLE ${{ O: '', A: 'ALWAYS ', R: 'REPLICA ' }[mode!] ?? ''}${kind} ${quoteName(name!)}`)
  }
  return back
}

/** Of these tables and of others to them; gives the statements that make them again, which check every row. */
async function dropForeignKeys(session: Session, tables: readonly Table[]): Promise<string[]> {
  const rows = await session.query(
    `SELECT c.conrelid::regclass AS table, c.conname AS name, pg_get_constraintdef(c.oid) AS definition, quote_literal(obj_description(c.oid, 'pg_constraint')) AS comment,
        (SELECT relkind = 'r' FROM pg_class WHERE oid = c.conrelid) AS only
      FROM pg_constraint c WHERE c.contype = 'f' AND c.conparentid = 0
        AND (EXISTS (SELECT FROM unnest($1::oid[]) t WHERE t = c.conrelid OR t IN (SELECT relid FROM pg_partition_tree(c.conrelid)))
          OR EXISTS (SELECT FROM unnest($1::oid[]) t WHERE t = c.confrelid OR t IN (SELECT relid FROM pg_partition_tree(c.confrelid))))
      ORDER BY c.conrelid, c.conname`,
    [oids(tables)],
  )
  for (const { table, name, only } of rows)
    await session.run(`ALTER TABLE ${only === 't' ? 'ONLY ' : ''}${table} DROP CONSTRAINT ${quoteName(name!)}`)
  return rows.flatMap(({ table, name, definition, comment, only }) => [
    `ALTER TABLE ${only === 't' ? 'ONLY ' : ''}${table} ADD CONSTRAINT ${quoteName(name!)} ${definition}`,
    ...(comment === null ? [] : [`COMMENT ON CONSTRAINT ${quoteName(name!)} ON ${table} IS ${comment}`]),
  ])
}

function oids(tables: readonly Table[]): string {
  return `{${tables.map(({ oid }) => oid).join(',')}}`
}

/** Rows are found by their key; where there is none, by all that is in them, each as often as it is to go. */
async function deletion(session: Session, { table, removed }: LoadedChange): Promise<string> {
  const target = qualified(table.schema, table.name)
  if (table.key.length > 0) {
    const equal = await keyOperators(session, table)
    const terms = table.key.map((column, i) => `t.${quoteName(column)} ${equal[i]} r.${quoteName(column)}`)
    return `DELETE FROM ONLY ${target} t USING ${removed} r WHERE ${terms.join(' AND ')}`
  }
  const text = (alias: string) =>
    table.columns.length === 0
      ? `''`
      : `ROW(${table.columns.map((column) => `${alias}.${quoteName(column)}`).join(', ')})::text`
  return `
    WITH numbered AS (SELECT t.ctid AS place, ${text('t')} AS row, row_number() OVER (PARTITION BY ${text('t')} ORDER BY t.ctid DESC) AS nr FROM ONLY ${target} t),
      wanted AS (SELECT ${text('r')} AS row, count(*) AS times FROM ${removed} r GROUP BY 1)
    DELETE FROM ONLY ${target} WHERE ctid IN (SELECT n.place FROM numbered n JOIN wanted w ON w.row = n.row WHERE n.nr <= w.times)`
}

/** The operators of equality of a key's index, which may belong to an extension and lie in any schema. */
async function keyOperators(session: Session, table: Table): Promise<string[]> {
  const rows = await session.query(
    `SELECT a.attname AS column, format('OPERATOR(%I.%s)', n.nspname, op.oprname) AS operator
      FROM pg_index i, unnest(i.indkey::int2[], i.indclass::oid[]) k(att, class), pg_attribute a, pg_opclass oc, pg_amop am, pg_operator op, pg_namespace n
      WHERE i.indrelid = $1::oid AND i.indisunique AND i.indimmediate AND a.attrelid = i.indrelid AND a.attnum = k.att AND oc.oid = k.class
        AND am.amopfamily = oc.opcfamily AND am.amopstrategy = 3 AND am.amoplefttype = oc.opcintype AND am.amoprighttype = oc.opcintype
        AND op.oid = am.amopopr AND n.oid = op.oprnamespace`,
    [table.oid],
  )
  const byColumn = new Map(rows.map((row) => [row['column']!, row['operator']!]))
  return table.key.map((column) => byColumn.get(column) ?? '=')
}

/** Sets sequences so that a rollback takes it back: restarted first, a sequence belongs to the transaction. */
export async function applySequences(
  session: Session,
  goal: readonly SequenceValue[],
  now: readonly SequenceValue[],
): Promise<void> {
  const present = new Map(now.map((value) => [displayName({ schema: value[0], name: value[1] }), value]))
  const different = goal.filter((value) => {
    const there = present.get(displayName({ schema: value[0], name: value[1] }))
    return there && JSON.stringify(there) !== JSON.stringify(value)
  })
  for (const [schema, name] of different) await session.run(`ALTER SEQUENCE ${qualified(schema, name)} RESTART`)
  await session.run(sequenceStatements(different).join(';'))
}

/** Reads back what was changed, before it is committed. */
export async function verifyChanges(
  session: Session,
  changes: readonly LoadedChange[],
  encoding: string,
  name: string,
): Promise<void> {
  for (const { table, change } of changes) {
    if (!isCanonical(table)) continue
    const sum = createHash('sha256')
    for await (const part of session.copyOut(copyOutStatement(table, encoding))) sum.update(part)
    if (sum.digest('hex') !== change.goal) {
      throw new EnvError('damaged', `${name}: ${displayName(table)} did not become what was stored`, {
        hint: 'a trigger that fires always, or rules, may have changed it; restore with a user who may create databases',
      })
    }
  }
}
