import { EnvError } from '../../domain/errors.ts'
import { type Entrance, openEntrance } from './entrance.ts'
import type { Server } from './server.ts'
import { Session, sqlState } from './session.ts'

/** The oldest major version whose catalog and functions are known here. */
const oldestMajor = 13

/** The way to one server, opened when it is first needed, and all connections that were made on it. */
export class Link {
  readonly server: Server
  readonly signal: AbortSignal
  readonly #sessions: Session[] = []
  #entrance: Promise<Entrance> | undefined

  constructor(server: Server, signal: AbortSignal) {
    this.server = server
    this.signal = signal
  }

  entrance(): Promise<Entrance> {
    this.#entrance ??= openEntrance(this.server, this.signal)
    return this.#entrance
  }

  async open(database: string = this.server.database): Promise<Session> {
    const session = await Session.open(this.server, await this.entrance(), database, this.signal)
    this.#sessions.push(session)
    return session
  }

  /** undefined when the server has no such database. */
  async openIfThere(database: string = this.server.database): Promise<Session | undefined> {
    try {
      return await this.open(database)
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw error
    }
  }

  /** A connection from which databases can be made, renamed and dropped: to one that every server has and nobody restores. */
  async openMaintenance(): Promise<Session> {
    let last: unknown
    for (const database of ['postgres', 'template1']) {
      if (database === this.server.database) continue
      try {
        return await this.open(database)
      } catch (error) {
        if (error instanceof EnvError && sqlState(error) === undefined) throw error
        last = error
      }
    }
    throw last
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#sessions.splice(0).map((session) => session.close()))
    const entrance = await this.#entrance?.catch(() => undefined)
    this.#entrance = undefined
    await entrance?.close()
  }
}

function isAbsent(error: unknown): boolean {
  return sqlState(error) === '3D000'
}

/** What is to know of a server and of whom it takes us for. */
export type ServerFacts = {
  readonly major: number
  readonly version: string
  readonly encoding: string
  readonly user: string
  readonly isSuperuser: boolean
  readonly canCreateDatabases: boolean
  readonly ownsDatabase: boolean
  readonly databaseOid: number
  readonly isStandby: boolean
}

export async function serverFacts(session: Session, name: string): Promise<ServerFacts> {
  const row = await session.one(`
    SELECT current_setting('server_version_num') AS number, current_setting('server_version') AS version, getdatabaseencoding() AS encoding,
      r.rolname AS user, r.rolsuper AS super, r.rolcreatedb OR r.rolsuper AS createdb, pg_has_role(d.datdba, 'USAGE') AS owner, d.oid,
      pg_is_in_recovery() AS standby
    FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user`)
  const major = Math.floor(Number(row['number']) / 10_000)
  if (major < oldestMajor) {
    throw new EnvError('refused', `${name}: PostgreSQL ${row['version']} is older than ${oldestMajor}`, {
      hint: 'such versions get no corrections any more: upgrade the server',
    })
  }
  return {
    major,
    version: row['version']!.replace(/ .*/, ''),
    encoding: row['encoding']!,
    user: row['user']!,
    isSuperuser: row['super'] === 't',
    canCreateDatabases: row['createdb'] === 't',
    ownsDatabase: row['owner'] === 't',
    databaseOid: Number(row['oid']),
    isStandby: row['standby'] === 't',
  }
}
