import { describeEndpoint, type Endpoint } from '../connection/endpoint.ts'
import type { ServiceContext } from '../service-driver.ts'
import { isOwnName, literal } from './names.ts'
import { listTables } from './read-schema.ts'
import { factsOf, type ServerFacts } from './server.ts'
import { Session } from './session.ts'

/** One database on a server, and how to get there. */
export type Database = {
  readonly endpoint: Endpoint
  readonly name: string
  readonly context: ServiceContext
}

export function placeOf({ endpoint }: Database): string {
  return describeEndpoint(endpoint)
}

export function openSession({ endpoint, context }: Database, binary = false): Promise<Session> {
  return Session.open(endpoint, { signal: context.signal, binary })
}

/** Opens several at once; all of them, or none. */
export async function openSessions(database: Database, count: number): Promise<Session[]> {
  const opened = await Promise.allSettled(Array.from({ length: count }, () => openSession(database)))
  const sessions = opened.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const failed = opened.find((each) => each.status === 'rejected')
  if (!failed) return sessions
  for (const session of sessions) session.destroy()
  throw failed.reason
}

export type Found = {
  readonly session: Session
  readonly facts: ServerFacts
  readonly state: 'there' | 'only ours' | 'not there'
}

/**
 * Connects and looks whether there is a database. One that holds nothing but what a restore put there is as good as absent: a user who
 * may not make other databases stages inside the one that is to be restored.
 */
export async function findDatabase(database: Database): Promise<Found> {
  const session = await openSession(database)
  try {
    const facts = await factsOf(session, database.name)
    return { session, facts, state: await stateOf(session, database.name) }
  } catch (error) {
    session.destroy()
    throw error
  }
}

export async function stateOf(session: Session, name: string): Promise<Found['state']> {
  const there = await session.first(`SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ${literal(name)}`)
  if (!there) return 'not there'
  await session.use(name)
  const tables = await listTables(session, name)
  if (!tables.every((table) => isOwnName(table.name) || table.kind === 'sequence')) return 'there'
  // An empty database is one; where we made it, or where everything was set aside, there is none yet, or no longer.
  const absent = tables.some((table) => /_(?:created|gone)$/.test(table.name))
  if (!absent) return 'there'
  const code = await session.first(
    `SELECT (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ${literal(name)}) + (SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ${literal(name)}) n`,
  )
  return code?.['n'] === '0' ? 'only ours' : 'there'
}
