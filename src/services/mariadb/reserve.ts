import { hash } from 'node:crypto'
import { EnvError } from '../../domain/errors.ts'
import type { Reservation } from '../service-driver.ts'
import { type Database, openSession, placeOf } from './database.ts'
import { literal } from './names.ts'
import type { Session } from './session.ts'

/** A lock of the server's own, by the database's name: it ends with the connection. */
export async function reserve(database: Database): Promise<Reservation> {
  const session = await openSession(database)
  try {
    const lock = literal(`git_env_${hash('sha256', database.name).slice(0, 32)}`)
    const got = await session.first(`SELECT GET_LOCK(${lock}, 0) got`)
    if (got?.['got'] === '1') return { release: () => session.close() }
    throw await takenBy(session, lock, placeOf(database))
  } catch (error) {
    session.destroy()
    throw error
  }
}

async function takenBy(session: Session, lock: string, place: string): Promise<EnvError> {
  const holder = await session.first(
    `SELECT id, CONCAT(user, '@', host) who, TIME seconds FROM information_schema.PROCESSLIST WHERE id = IS_USED_LOCK(${lock})`,
  )
  const id = holder?.['id'] ?? (await session.first(`SELECT IS_USED_LOCK(${lock}) id`))?.['id'] ?? 'unknown'
  const who = holder ? ` from ${holder['who']}, since ${holder['seconds']} s` : ''
  return new EnvError('busy', `another git-env works on ${place}: connection ${id}${who}`, {
    hint: 'wait until it is done; --wait does that',
    details: { connection: id },
  })
}
