import { EnvError } from '../../domain/errors.ts'
import { isOwnName } from './names.ts'
import { type Session, sqlState } from './session.ts'
import { quoteName } from './sql.ts'

/** Object ids of databases by name, those that exist. */
export async function databaseOids(session: Session, names: readonly string[]): Promise<Map<string, number>> {
  const rows = await session.query('SELECT datname AS name, oid FROM pg_database WHERE datname = ANY ($1::text[])', [
    arrayText(names),
  ])
  return new Map(rows.map((row) => [row['name']!, Number(row['oid'])]))
}

function arrayText(names: readonly string[]): string {
  return `{${names.map((name) => `"${name.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`
}

/** Drops a database that a restore made, whoever is still in it; nothing when it is gone. */
export async function dropOwn(session: Session, database: string): Promise<void> {
  if (!isOwnName(database)) throw new EnvError('bug', `${database} was not made by git-env`)
  await session.query(`DROP DATABASE IF EXISTS ${quoteName(database)} WITH (FORCE)`)
}

/** Ends all sessions in these databases that this user may end, but our own; gives how many are left to end. */
async function endSessions(session: Session, oids: readonly number[]): Promise<number> {
  const rows = await session.query(
    `SELECT CASE WHEN r.rolsuper AND NOT me.rolsuper THEN false
        WHEN pg_has_role(a.usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE') THEN pg_terminate_backend(a.pid) END
      FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid, pg_roles me
      WHERE me.rolname = current_user AND a.datid = ANY ($1::oid[]) AND a.pid <> pg_backend_pid()`,
    [`{${oids.join(',')}}`],
  )
  return rows.length
}

const quietTries = 25

/**
 * Gives databases other names, all or none, in one transaction. The first rename keeps newcomers out; whoever was there is ended, again
 * and again until the server is content.
 */
export async function renameDatabases(
  session: Session,
  helper: Session,
  renames: readonly { readonly from: string; readonly to: string; readonly oid: number }[],
): Promise<void> {
  const oids = renames.map(({ oid }) => oid)
  // The server itself looks only ten times a second whether everybody is gone, so it had better find nobody.
  for (let tries = 0; tries < quietTries && (await endSessions(helper, oids)) > 0; tries++) await pause(1)
  let isDone = false
  const ending = (async () => {
    while (!isDone) {
      await endSessions(helper, oids)
      await pause(5)
    }
  })()
  ending.catch(() => {})
  try {
    await session.run('BEGIN')
    for (const { from, to } of renames)
      await session.query(`ALTER DATABASE ${quoteName(from)} RENAME TO ${quoteName(to)}`)
    await session.run('COMMIT')
  } catch (error) {
    if (!session.ended) await session.run('ROLLBACK')
    if (sqlState(error) === '55006') {
      throw new EnvError('busy', `${renames[0]!.from} is in use by sessions that this user may not end`, {
        cause: error,
        hint: 'end them, or: GRANT pg_signal_backend to the user of the url',
      })
    }
    throw error
  } finally {
    isDone = true
    await ending
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
