import { hash } from 'node:crypto'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import type { DriverSample, LiveSample } from '../contract/service-driver.ts'
import { oddChanges, oddDefinitionChanges, oddDefinitions, oddRows, superDefinitions } from '../support/odd-postgres.ts'
import { startPostgresWriter } from '../support/postgres-writer.ts'
import { type PostgresServer, sharedPostgres } from '../support/servers/postgres.ts'
import { sortedRows } from '../support/sorted-rows.ts'
import { temporaryDirectory } from '../support/temporary.ts'

export const sample: DriverSample = { type: 'postgres', create: () => createPostgresSample() }

let count = 0

/** A database `shop <n>` in the process's own server, beside one of nearly the same name that must never be touched. */
export async function createPostgresSample(definitions: 'change too' | 'stay' = 'change too'): Promise<LiveSample> {
  const server = await sharedPostgres()
  const projectDirectory = await temporaryDirectory()
  const name = `shop "${++count}"`
  const other = `${name}_new`
  await makeRole(server, 'odd_reader')
  await server.run('postgres', `CREATE DATABASE ${quoted(name)}`, `CREATE DATABASE ${quoted(other)}`)
  onTestFinished(async () => {
    for (const each of [name, other])
      await server.run('postgres', `DROP DATABASE IF EXISTS ${quoted(each)} WITH (FORCE)`)
  })
  await server.run(other, 'CREATE TABLE stranger AS SELECT 1 AS one')
  await server.run(name, [...oddDefinitions, ...oddRows, ...superDefinitions].join(';'))
  await server.run(
    name,
    `ALTER DATABASE ${quoted(name)} SET search_path = "Other.Schema", public`,
    `ALTER ROLE odd_reader IN DATABASE ${quoted(name)} SET work_mem = '7MB'`,
    `COMMENT ON DATABASE ${quoted(name)} IS 'the shop''s'`,
    `REVOKE TEMPORARY ON DATABASE ${quoted(name)} FROM PUBLIC`,
    `ALTER DATABASE ${quoted(name)} CONNECTION LIMIT 90`,
  )
  return {
    ...common(server, name, other, projectDirectory),
    config: { url: server.url(name) },
    change: (seed) =>
      server.run(
        name,
        `SET search_path = public; ${[...oddChanges(seed), ...(definitions === 'stay' ? [] : oddDefinitionChanges(seed))].join(';')}`,
      ),
    startWriter: () => startPostgresWriter({ host: server.socketFolder, user: 'postgres', database: name }),
  }
}

/** What a password may hold. */
const password = `p@ss/w:o"r'd\\ %41 \u00e4#?&`

/** The same without what takes a superuser, as an application has it: a user who owns one schema of the database and nothing else. */
export async function createApplicationSample(): Promise<LiveSample> {
  const server = await sharedPostgres()
  const projectDirectory = await temporaryDirectory()
  const name = `application_${++count}`
  const other = `${name}_new`
  const user = 'app "user"'
  await makeRole(server, user, `LOGIN PASSWORD '${password.replaceAll("'", "''")}'`)
  await server.run('postgres', `CREATE DATABASE ${name}`, `CREATE DATABASE ${other}`)
  onTestFinished(async () => {
    for (const each of [name, other]) await server.run('postgres', `DROP DATABASE IF EXISTS ${each} WITH (FORCE)`)
  })
  await server.run(other, 'CREATE TABLE stranger AS SELECT 1 AS one')
  await server.run(name, `ALTER SCHEMA public OWNER TO ${quoted(user)}`)
  const run = async (statements: readonly string[]) => {
    const client = await server.connect(name, user, password)
    try {
      await client.query(statements.join(';'))
    } finally {
      await client.end()
    }
  }
  const own = (statement: string) => !/"Other\.Schema"/.test(statement)
  await run([...oddDefinitions.filter(own), ...oddRows.filter(own)])
  return {
    ...common(server, name, other, projectDirectory),
    config: { url: server.url(name, user, password) },
    change: (seed) => run(oddChanges(seed)),
    startWriter: () => startPostgresWriter({ host: server.socketFolder, user, password, database: name }),
  }
}

/** What all samples have in common. */
export function common(
  server: PostgresServer,
  name: string,
  other: string,
  projectDirectory: string,
): Omit<LiveSample, 'config' | 'change'> {
  return {
    projectDirectory,
    fingerprint: async () => databaseContent(server, name),
    strangers: async () => `${databaseContent(server, other)}${await namesIn(server, name)}`,
    leftOver: async (id) => (await databaseNames(server)).filter((each) => each.includes(id)),
    remove: () => server.run('postgres', `DROP DATABASE ${quoted(name)} WITH (FORCE)`),
    ruins: {},
    written: () => writtenIn(server, name),
    fingerprintExport: async (directory, [first]) => {
      const loaded = `${name} loaded`
      // An export holds a database's content; its own properties are the server's business.
      await server.run('postgres', `CREATE DATABASE ${quoted(loaded)}`)
      try {
        server.tool('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', loaded, '-f', path.join(directory, first!)])
        await copyProperties(server, name, loaded)
        return databaseContent(server, loaded).replaceAll(' loaded', '')
      } finally {
        await server.run('postgres', `DROP DATABASE ${quoted(loaded)} WITH (FORCE)`)
      }
    },
  }
}

async function copyProperties(server: PostgresServer, from: string, to: string): Promise<void> {
  const text = server.tool('pg_dump', ['-C', '-s', from])
  const statements = text
    .split('\n')
    .filter((line) =>
      /^(ALTER (DATABASE|ROLE .* IN DATABASE)|COMMENT ON DATABASE|GRANT .* ON DATABASE|REVOKE .* ON DATABASE)/.test(
        line,
      ),
    )
  await server.run(
    'postgres',
    ...statements.map((statement) => statement.replaceAll(from.replaceAll('"', '""'), to.replaceAll('"', '""'))),
  )
}

export async function makeRole(server: PostgresServer, role: string, options = ''): Promise<void> {
  await server.run(
    'postgres',
    `DO $$ BEGIN CREATE ROLE ${quoted(role)} ${options}; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
  )
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** All that pg_dump says of a database, the rows of each table sorted. */
export function databaseContent(server: PostgresServer, name: string): string {
  let text: string
  try {
    text = server.tool('pg_dump', ['-C', '-b', `dbname='${name.replaceAll(/['\\]/g, '\\$&')}'`])
  } catch (error) {
    if (/does not exist/.test(String(error))) return 'absent'
    throw error
  }
  return sortedRows(text).join('\n')
}

async function databaseNames(server: PostgresServer): Promise<string[]> {
  const client = await server.connect('postgres')
  try {
    return (await client.query('SELECT datname FROM pg_database ORDER BY 1')).rows.map((row) => String(row.datname))
  } finally {
    await client.end()
  }
}

/** Databases and roles of the server but this one. */
async function namesIn(server: PostgresServer, name: string): Promise<string> {
  const roles = hash(
    'sha256',
    server.tool('pg_dumpall', ['--roles-only']).replaceAll(/^(\\(un)?restrict .*|--.*)$/gm, ''),
  )
  return [...(await databaseNames(server)).filter((each) => each !== name), roles].join('\n')
}

async function writtenIn(server: PostgresServer, name: string): Promise<number[]> {
  const client = await server.connect(name)
  try {
    const there = await client.query(`SELECT to_regclass('public.written') IS NOT NULL AS there`)
    if (!there.rows[0].there) return []
    return (await client.query('SELECT number FROM public.written ORDER BY number')).rows.map((row) =>
      Number(row.number),
    )
  } finally {
    await client.end()
  }
}
