import { EnvError } from '../../domain/errors.ts'
import { formatMicros } from '../../domain/format-text.ts'
import { displayName, type Table } from './catalog.ts'
import type { Row, Session } from './session.ts'
import { sqlState } from './session.ts'
import { qualified } from './sql.ts'

/** `SHARE` lets others read and lock rows; `SHARE ROW EXCLUSIVE` does too, and keeps a second one like it away. */
export type HoldMode = 'SHARE' | 'SHARE ROW EXCLUSIVE'

/** Longer than the server waits before it ends an autovacuum that is in somebody's way. */
const vacuumMs = 1500

/**
 * One attempt to make the writers of these tables wait, in a transaction that it begins. It takes at most the limit, whatever is in the way; then it
 * throws `busy` naming that, and nobody waits.
 */
export async function holdTables(
  session: Session,
  tables: readonly Table[],
  request: { readonly mode: HoldMode; readonly limitMs: number; readonly name: string },
): Promise<void> {
  const { mode, limitMs, name } = request
  const limit = Math.max(1, Math.round(limitMs))
  try {
    // In one exchange: the first writers wait from the moment that a lock is asked for.
    const lock = tables.length > 0 ? `LOCK TABLE ${tables.map(only).join(', ')} IN ${mode} MODE;` : ''
    await session.run(
      `BEGIN; SET LOCAL lock_timeout = ${limit}; SET LOCAL statement_timeout = ${limit}; ${lock} SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0`,
    )
  } catch (error) {
    if (session.ended) throw error
    await session.run('ROLLBACK')
    // 55P03: a lock was not to be had; 57014: not all of them in time; 40P01: two waited for each other.
    if (!['55P03', '57014', '40P01'].includes(sqlState(error) ?? '')) throw error
    const blockers = await findBlockers(session, tables)
    const vacuums = blockers.filter((blocker) => blocker['type'] === 'autovacuum worker')
    if (vacuums.length > 0) await endVacuums(session, tables)
    throw busy(name, blockers, error)
  }
}

function only(table: Table): string {
  return `ONLY ${qualified(table.schema, table.name)}`
}

/**
 * An autovacuum gives way to who has waited for `deadlock_timeout`, a second where this user may not shorten it. This lock keeps no writer
 * waiting meanwhile, and is given back at once.
 */
export async function endVacuums(session: Session, tables: readonly Table[]): Promise<void> {
  const lockable = tables.filter((table) => table.lockable)
  if (lockable.length === 0) return
  await session.run('SET deadlock_timeout = 10').catch((error: unknown) => {
    if (session.ended) throw error
  })
  try {
    await session.run(
      `BEGIN; SET LOCAL lock_timeout = ${vacuumMs}; LOCK TABLE ${lockable.map(only).join(', ')} IN SHARE UPDATE EXCLUSIVE MODE`,
    )
  } catch (error) {
    if (session.ended) throw error
  }
  await session.run('ROLLBACK')
}

/** Who has, or waits for, a lock on these tables that a hold has to wait for; the longest transaction first. */
async function findBlockers(session: Session, tables: readonly Table[]): Promise<Row[]> {
  return session.query(
    `SELECT a.pid, a.usename AS user, a.state, a.backend_type AS type, a.application_name AS application, left(a.query, 200) AS query,
        l.relation::regclass::text AS relation, l.mode,
        (extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.query_start)) * 1e6)::bigint AS micros
      FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
      WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.relation = ANY ($1::oid[]) AND l.pid <> pg_backend_pid()
        AND l.mode IN ('RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
      ORDER BY a.xact_start NULLS LAST`,
    [`{${tables.map((table) => table.oid).join(',')}}`],
  )
}

function busy(name: string, blockers: readonly Row[], cause: unknown): EnvError {
  const [first] = blockers
  if (!first)
    return new EnvError('busy', `${name}: its tables could not be locked in time`, {
      cause,
      hint: 'run the command again',
    })
  const seconds = first['micros'] === null ? '' : ` for ${formatMicros(Math.max(0, Number(first['micros'])))}`
  const idle = first['state']?.startsWith('idle in transaction')
  const what = (first['query'] ?? '').replaceAll(/\s+/g, ' ').trim().slice(0, 80)
  const does = idle ? `has a transaction open${seconds}, last: ${what}` : `runs${seconds}: ${what}`
  return new EnvError('busy', `${name}: ${first['user'] ?? first['type']} (process ${first['pid']}) ${does}`, {
    cause,
    hint: `wait for it to end, or end it: SELECT pg_terminate_backend(${first['pid']})`,
    details: {
      blockers: blockers.map(({ pid, user, query, relation, mode }) => ({ pid, user, query, relation, mode })),
    },
  })
}

/** In words, for `doctor` and the manifest. */
export function describeRung(tables: readonly Table[], isStandby: boolean): { rung: string; isFrozen: boolean } {
  if (isStandby) return { rung: 'point: a standby cannot make writers wait', isFrozen: false }
  const others = tables.filter((table) => !table.lockable)
  if (others.length === 0) return { rung: 'frozen: writers wait for a moment while the point is taken', isFrozen: true }
  return {
    rung: `point: one consistent view, and nobody waits, since ${displayName(others[0]!)}${others.length > 1 ? ` and ${others.length - 1} more` : ''} may not be locked`,
    isFrozen: false,
  }
}
