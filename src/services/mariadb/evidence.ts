import type { Json } from '../../domain/canonical-json.ts'
import { literal } from './names.ts'
import type { ServerFacts } from './server.ts'
import type { Row, Session } from './session.ts'

/**
 * What a server tells of a table for free, and what changes when the table is written to; see docs/decisions/0008. Only equal evidence means
 * something, and only of InnoDB tables whose last write had not just been: times are in whole seconds.
 */
export type Evidence = {
  /** When the server was started, and when this was read, in its seconds since 1970. */
  readonly startedAt: number
  readonly readAt: number
  /** By table: pairs, since a table may be called `constructor`. */
  readonly tables: readonly (readonly [name: string, evidence: string])[]
}

const selectsAtOnce = 50
/** A write within these seconds before the evidence was read may share its second with a later one. */
const settledSeconds = 2
/**
 * A write is stamped with the second in which its transaction began. Where InnoDB's counters cannot be seen, one that began in the very second of
 * a table's last write, and is still open when the evidence is read, could write to it unseen. So long no transaction is open.
 */
const longestTransactionSeconds = 3600
/** A start computed twice may differ by this. */
const startSlackSeconds = 2

export async function readEvidence(session: Session, facts: ServerFacts, database: string): Promise<Evidence> {
  return read(session, facts, database, `TABLE_SCHEMA = ${literal(database)}`)
}

/** Of these tables alone: asked for others too, the server would wait for those that are locked. */
export async function readEvidenceOf(
  session: Session,
  facts: ServerFacts,
  database: string,
  names: readonly string[],
): Promise<Evidence> {
  const each = names.map((name) => `TABLE_SCHEMA = ${literal(database)} AND TABLE_NAME = ${literal(name)}`)
  return read(session, facts, database, ...each)
}

async function read(
  session: Session,
  facts: ServerFacts,
  database: string,
  ...conditions: readonly string[]
): Promise<Evidence> {
  const now = await session.first('SELECT FLOOR(UNIX_TIMESTAMP()) now')
  const selects = conditions.map(
    (condition) =>
      `SELECT TABLE_NAME name, ENGINE engine, UNIX_TIMESTAMP(CREATE_TIME) created, UNIX_TIMESTAMP(UPDATE_TIME) updated, TABLE_ROWS n, AUTO_INCREMENT next FROM information_schema.TABLES WHERE ${condition}`,
  )
  const rows: Row[] = []
  for (let i = 0; i < selects.length; i += selectsAtOnce) {
    rows.push(...(await session.query(selects.slice(i, i + selectsAtOnce).join(' UNION ALL '))))
  }
  const counters = await readCounters(session, facts, database)
  const tables: [string, string][] = []
  for (const row of rows) {
    if (row['engine']?.toUpperCase() !== 'INNODB') continue
    const { name, created, updated, n, next } = row
    const parts = [created, updated, n, next, counters.get(inFileName(name!))]
    tables.push([name!, parts.map((part) => part ?? '').join(' ')])
  }
  return { startedAt: facts.startedAt, readAt: Number(now!['now']), tables }
}

/** InnoDB counts the rows that were written to each table; whoever may see processes may see that. */
async function readCounters(session: Session, facts: ServerFacts, database: string): Promise<Map<string, string>> {
  if (!facts.seesProcesses || facts.product !== 'MariaDB') return new Map()
  const start = `${inFileName(database)}/`
  const rows = await session
    .query(
      `SELECT NAME name, TABLE_ID id, STATS_INITIALIZED ready, NUM_ROWS n, MODIFIED_COUNTER modified FROM information_schema.INNODB_SYS_TABLESTATS WHERE NAME LIKE ${literal(`${start.replaceAll(/[\\%_]/g, '\\$&')}%`)}`,
    )
    .catch(() => [])
  const byTable = new Map<string, string>()
  for (const { name, id, ready, n, modified } of rows) {
    byTable.set(name!.slice(start.length), [id, ready, n, modified].join('/'))
  }
  return byTable
}

/** Names as InnoDB's own tables have them: all but letters, digits and _ as @ and the code. */
function inFileName(name: string): string {
  return name.replaceAll(/[^0-9A-Za-z_]/g, (char) => `@${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Whether a table was surely not written to between two looks. */
export function isUntouched(table: string, before: Evidence, now: Evidence): boolean {
  const [then, after] = [before, now].map(({ tables }) => tables.find(([name]) => name === table)?.[1])
  if (then === undefined || then !== after) return false
  if (Math.abs(before.startedAt - now.startedAt) > startSlackSeconds) return false
  const [, updated = '', , , counters = ''] = then.split(' ')
  const settled = counters === '' ? longestTransactionSeconds : settledSeconds
  return updated === '' || Number(updated) + settled <= before.readAt
}

export function asEvidence(value: Json | undefined): Evidence {
  return (value ?? { startedAt: 0, readAt: 0, tables: [] }) as unknown as Evidence
}
