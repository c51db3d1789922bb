import { EnvError } from '../../domain/errors.ts'
import { plural } from '../../domain/format-text.ts'
import type { Probe } from '../service-driver.ts'
import { listTables } from './catalog.ts'
import { describeRung } from './hold.ts'
import { type Link, serverFacts } from './link.ts'
import { findDumper, installHint } from './programs.ts'
import { unsupportedIn } from './unsupported.ts'

/** What `status` and `doctor` say of a database. */
export async function probeDatabase(link: Link): Promise<Probe> {
  const { server } = link
  const session = await link.openIfThere()
  if (!session) return absentProbe(link)
  const facts = await serverFacts(session, server.name)
  const tables = await listTables(session)
  const { rung, isFrozen } = describeRung(tables, facts.isStandby)
  const dumper = await findDumper(facts.major)
  const unreadable = tables.filter((table) => !table.readable)
  const warnings = await unsupportedIn(session)
  if (!dumper)
    warnings.unshift(
      `no pg_dump of version ${facts.major} or newer is here, so nothing can be captured; ${installHint(facts.major)}`,
    )
  if (unreadable.length > 0)
    warnings.unshift(
      `${facts.user} may not read ${plural(unreadable.length, 'table')}: GRANT pg_read_all_data TO ${facts.user}`,
    )
  const { bytes } = await session.one('SELECT pg_database_size(current_database()) AS bytes')
  const canReplace = facts.canCreateDatabases && facts.ownsDatabase
  const advice = isFrozen
    ? canReplace
      ? undefined
      : `to let a restore replace the database within milliseconds: ALTER ROLE ${facts.user} CREATEDB${facts.ownsDatabase ? '' : `, and ALTER DATABASE ${server.database} OWNER TO ${facts.user}`}`
    : facts.isStandby
      ? undefined
      : `to make writers wait while the point is taken: GRANT UPDATE ON ALL TABLES IN SCHEMA … TO ${facts.user}, or make it their owner`
  return {
    presence: 'present',
    summary: `PostgreSQL ${facts.version}, ${plural(tables.length, 'table')}, as ${facts.user}`,
    bytes: Number(bytes),
    versions: { postgresql: facts.version, ...(dumper ? { pg_dump: dumper.version } : {}) },
    rung,
    ...(advice === undefined ? {} : { advice }),
    swap: canReplace ? 'rename' : 'in place',
    warnings,
  }
}

async function absentProbe(link: Link): Promise<Probe> {
  const { server } = link
  const summary = `no database ${server.database}`
  const base = {
    presence: 'absent' as const,
    summary,
    bytes: 0,
    versions: {},
    rung: 'frozen: nothing is there',
    swap: 'rename' as const,
  }
  const maintenance = await link.openMaintenance().catch((error: unknown) => {
    if (error instanceof EnvError) return undefined
    throw error
  })
  const row = await maintenance?.one(
    `SELECT current_user AS user, rolcreatedb OR rolsuper AS may FROM pg_roles WHERE rolname = current_user`,
  )
  if (row?.['may'] === 't') return { ...base, warnings: [] }
  const user = row?.['user'] ?? server.user
  return {
    ...base,
    advice: `ALTER ROLE ${user} CREATEDB; or make it as a superuser: CREATE DATABASE ${server.database} OWNER ${user}`,
    warnings: [`${user} may not make it again`],
  }
}
