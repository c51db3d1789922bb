import { hostname } from 'node:os'
import { EnvError } from '../../domain/errors.ts'
import type { Marker, Reservation } from '../service-driver.ts'
import { markerSetting } from './definitions.ts'
import type { Link } from './link.ts'
import type { Session } from './session.ts'
import { quoteName, quoteText } from './sql.ts'

/** First half of the key of our advisory locks. */
const lockClass = 0x67656e76

/**
 * Keeps every other git-env away from a database, by its name: advisory locks belong to the database in which they are taken, so they are taken where
 * a restore does not rename anything, in `postgres`; where that may not be entered, in the database itself.
 */
export async function reserveDatabase(link: Link): Promise<Reservation> {
  const { server } = link
  const session = await link.openMaintenance().catch(() => link.openIfThere())
  if (!session) return { release: async () => {} }
  await session.query(`SELECT set_config('application_name', $1, false)`, [`git-env on ${hostname()}`.slice(0, 63)])
  const key = `${lockClass}, hashtext(${quoteText(server.database)})`
  const { got } = await session.one(`SELECT pg_try_advisory_lock(${key}) AS got`)
  if (got !== 't') {
    const owner = await lockOwner(session, key)
    await session.close()
    throw new EnvError('busy', `${server.name}: another git-env is at work on ${server.place}${owner}`, {
      hint: 'wait for it to end',
    })
  }
  return { release: () => session.close() }
}

async function lockOwner(session: Session, key: string): Promise<string> {
  const [row] = await session.query(`
    SELECT a.pid, a.application_name AS application, a.usename AS user, coalesce(a.client_hostname, host(a.client_addr), 'this host') AS host,
      date_trunc('second', a.backend_start) AS since
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND (l.classid::bigint, l.objid::bigint & 4294967295) IN (SELECT c, o::bigint & 4294967295 FROM (VALUES (${key})) v(c, o))`)
  if (!row) return ''
  return `: ${row['application']}, ${row['user']} from ${row['host']}, process ${row['pid']}, since ${row['since']}`
}

/** undefined where there is none, or it cannot be read. */
export async function readMarker(link: Link): Promise<Marker | undefined> {
  const session = await link.openIfThere()
  if (!session) return undefined
  try {
    const [row] = await session.query(`
      SELECT substr(c, strpos(c, '=') + 1) AS text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c
      WHERE d.datname = current_database() AND s.setrole = 0 AND c LIKE '${markerSetting}=%'`)
    return row ? (JSON.parse(row['text']!) as Marker) : undefined
  } finally {
    await session.close()
  }
}

/** Nothing happens where the database is another's: only its owner may set this. */
export async function writeMarker(link: Link, marker: Marker): Promise<void> {
  const session = await link.openIfThere()
  if (!session) return
  try {
    await session.query(
      `ALTER DATABASE ${quoteName(session.database)} SET ${markerSetting} TO ${quoteText(JSON.stringify(marker))}`,
    )
  } catch (error) {
    if (!(error instanceof EnvError) || error.code !== 'refused') throw error
  } finally {
    await session.close()
  }
}
