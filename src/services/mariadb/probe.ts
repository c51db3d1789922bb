import { formatBytes, plural } from '../../domain/format-text.ts'
import type { Probe } from '../service-driver.ts'
import { keepsCharset } from './code.ts'
import { type Database, findDatabase, placeOf } from './database.ts'
import { isOwnName, quoted } from './names.ts'
import { hiddenRoutines, listTables, readSchema } from './read-schema.ts'
import { isTransactional, keepsRows, parseForeignKey, type Schema, triggerAs } from './schema.ts'
import { atLeast, type Rung, type ServerFacts } from './server.ts'
import { isServerError, type Session } from './session.ts'
import { accountOf } from './stager.ts'

const rungs: Readonly<Record<Rung, string>> = {
  stage: 'snapshots hold the commits of the whole server for some milliseconds (BACKUP STAGE)',
  'global lock': 'snapshots hold the whole server for some milliseconds (FLUSH TABLES WITH READ LOCK)',
  'table locks': 'snapshots hold the tables of this database for some milliseconds (LOCK TABLES)',
  transaction: 'snapshots are consistent in themselves, not with other services (one transaction)',
}

/** Looks at all that a snapshot or a restore will need; changes nothing. */
export async function probeDatabase(database: Database): Promise<Probe> {
  const { session, facts, state } = await findDatabase(database)
  try {
    const versions = { [facts.product.toLowerCase()]: facts.version }
    const advice = adviceFor(database, facts)
    const base = { versions, rung: rungs[facts.rung], swap: 'rename' as const, ...(advice ? { advice } : {}) }
    const server = serverWarnings(facts)
    if (state !== 'there') {
      return { ...base, presence: 'absent', summary: `no database ${placeOf(database)}`, bytes: 0, warnings: server }
    }
    const listed = (await listTables(session, database.name)).filter(({ name }) => !isOwnName(name))
    const bytes = listed.reduce((sum, table) => sum + table.bytes, 0)
    const tables = listed.filter(({ kind }) => kind === 'table').length
    const schema = await readSchema(session, facts, database.name)
    return {
      ...base,
      presence: 'present',
      summary: `${facts.product} ${facts.version}, ${plural(tables, 'table')}, about ${formatBytes(bytes)}`,
      bytes,
      warnings: [...server, ...schemaWarnings(schema, facts), ...(await liveWarnings(session, database, schema))],
    }
  } finally {
    await session.close()
  }
}

function adviceFor(database: Database, facts: ServerFacts): string | undefined {
  const account = accountOf(facts.user)
  if (facts.rung === 'transaction') {
    return `GRANT LOCK TABLES ON ${quoted(database.name.replaceAll(/([\\_%])/g, '\\$1'))}.* TO ${account}`
  }
  if (facts.rung === 'table locks') return `GRANT RELOAD, PROCESS ON *.* TO ${account}`
  return facts.seesProcesses ? undefined : `GRANT PROCESS ON *.* TO ${account}`
}

function serverWarnings(facts: ServerFacts): string[] {
  const warnings: string[] = []
  if (facts.product === 'MySQL') {
    warnings.push('MySQL: this was not yet run against a real server; try a restore with data that you can lose first')
  }
  if (!facts.localInfile) warnings.push('local_infile is off: restores are slower; SET GLOBAL local_infile = 1')
  return warnings
}

/** What a snapshot will not hold, or a restore will not bring back exactly, by name. */
function schemaWarnings(schema: Schema, facts: ServerFacts): string[] {
  const warnings: string[] = []
  const unsteady = schema.tables.filter(({ engine }) => keepsRows(engine) && !isTransactional(engine))
  if (unsteady.length > 0) {
    const what =
      facts.rung === 'transaction'
        ? 'are not of the same moment as the rest'
        : 'keep their writers waiting until they are read'
    warnings.push(
      `tables without transactions ${what}: ${unsteady.map(({ name, engine }) => `${name} (${engine})`).join(', ')}`,
    )
  }
  for (const { name, engine } of schema.tables.filter((table) => !keepsRows(table.engine))) {
    warnings.push(`${name}: of a table of the engine ${engine} only the definition is kept`)
  }
  for (const { name, create, history } of schema.tables) {
    if (/ WITH SYSTEM VERSIONING/.test(create) && !history) {
      warnings.push(
        atLeast(facts, 10, 11)
          ? `${name}: its history goes by transactions and is not kept, only its present rows`
          : `${name}: its history is not kept, only its present rows; MariaDB 10.11 could`,
      )
    }
  }
  for (const { name, foreignKeys } of schema.tables) {
    const abroad = foreignKeys.filter((line) => parseForeignKey(line).parent === undefined)
    if (abroad.length > 0) warnings.push(`${name}: a foreign key leads to another database, which is not restored`)
  }
  for (const { name, table, create } of schema.triggers) {
    if (triggerAs(create, name, table) === undefined) {
      warnings.push(`trigger ${name}: the beginning of its text cannot be read; its table cannot be restored`)
    }
  }
  for (const each of [...schema.views, ...schema.routines, ...schema.triggers, ...schema.events]) {
    if (!keepsCharset(each.create, each.charset)) {
      warnings.push(`${each.name}: its text was made in ${each.charset} and is restored in utf8mb4`)
    }
  }
  return warnings
}

const broken = [1356, 1146, 1054, 1449]

async function liveWarnings(session: Session, database: Database, schema: Schema): Promise<string[]> {
  const warnings: string[] = []
  for (const name of await hiddenRoutines(session, database.name)) {
    warnings.push(`routine ${name}: our user may not read its text, so it is not kept`)
  }
  for (const { name } of schema.views) {
    const error = await session.query(`SELECT 1 FROM ${quoted(name)} LIMIT 0`).then(
      () => undefined,
      (reason) => reason,
    )
    if (isServerError(error, ...broken))
      warnings.push(`view ${name} refers to what is not there, and cannot be restored`)
  }
  return warnings
}
