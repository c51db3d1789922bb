import { EnvError } from '../../domain/errors.ts'
import { interrupted, isServerError, type Session } from './session.ts'

/** `KILL QUERY` arrived. */
export class NotInTime extends Error {}

/**
 * Runs a statement that may have to wait for locks, and ends it when it has not got them in time: whoever waits behind it goes on then.
 * `killer` is another connection of the same user, which may end its own without further rights. Throws {@link NotInTime}.
 */
export async function withinLimit(session: Session, killer: Session, limitMs: number, sql: string): Promise<void> {
  let killed: Promise<void> | undefined
  const timer = setTimeout(() => {
    killed = killer.execute(`KILL QUERY ${session.threadId}`).catch(() => {})
  }, limitMs)
  try {
    await session.execute(sql)
  } catch (error) {
    if (killed && isServerError(error, ...interrupted, 1205)) throw new NotInTime()
    throw error
  } finally {
    clearTimeout(timer)
    if (killed) {
      await killed
      // Where the statement was faster, the kill may hit the next one: let that be this.
      await session.execute('DO 0').catch(() => {})
    }
  }
}

/** Who may be in the way: the statements that run longest, and open transactions, as far as our user may see them. */
export async function busyBecause(
  watcher: Session,
  place: string,
  action: string,
  ours: readonly number[],
): Promise<EnvError> {
  const blockers = await findBlockers(watcher, ours).catch(() => [])
  const [first] = blockers
  const who = first
    ? `${first.user} (connection ${first.id}) ${first.statement === '' ? 'has had a transaction open' : `has been at ${JSON.stringify(first.statement)}`} for ${(first.ms / 1000).toFixed(1)} s`
    : 'another connection, which our user may not see, is in the way'
  return new EnvError('busy', `${place}: could not ${action}: ${who}`, {
    hint: 'wait until that is done, or end it, and run the command again',
    details: { blockers },
  })
}

type Blocker = { readonly id: number; readonly user: string; readonly statement: string; readonly ms: number }

const longestStatement = 120

async function findBlockers(watcher: Session, ours: readonly number[]): Promise<Blocker[]> {
  const notOurs = `id NOT IN (${[watcher.threadId, ...ours].join(', ')})`
  const running = await watcher.query(
    `SELECT id, CONCAT(user, '@', host) who, info, TIME seconds FROM information_schema.PROCESSLIST
     WHERE ${notOurs} AND command NOT IN ('Sleep', 'Daemon', 'Binlog Dump') AND state NOT LIKE 'Waiting for%lock%' ORDER BY TIME DESC LIMIT 3`,
  )
  const open = await watcher
    .query(
      `SELECT p.id, CONCAT(p.user, '@', p.host) who, TIMESTAMPDIFF(MICROSECOND, t.trx_started, NOW(6)) / 1000000 seconds
       FROM information_schema.INNODB_TRX t JOIN information_schema.PROCESSLIST p ON p.id = t.trx_mysql_thread_id
       WHERE p.${notOurs} AND p.command = 'Sleep' ORDER BY t.trx_started LIMIT 3`,
    )
    .catch(() => [])
  return [...running, ...open]
    .map((row) => ({
      id: Number(row['id']),
      user: row['who']!,
      statement: (row['info'] ?? '').slice(0, longestStatement),
      ms: Number(row['seconds']) * 1000,
    }))
    .sort((a, b) => b.ms - a.ms)
}
