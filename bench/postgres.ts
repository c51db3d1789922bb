import path from 'node:path'
import { type PostgresServer, startPostgres } from '../test/support/servers/postgres.ts'
import { measure, table } from './measure.ts'
import { postgresLoad } from './postgres-load.ts'
import {
  database,
  freezeRows,
  longestInSwap,
  makeProject,
  restoreRows,
  rowsPerTable,
  snapshotRows,
  tables,
} from './shop.ts'

/** A database of about 1 GB: git-env beside pg_dump and pg_restore, and what writers notice. */
export async function benchPostgres(directory: string): Promise<void> {
  const server = await startShop()
  try {
    const project = path.join(directory, 'project')
    makeProject(project, ['services:', serviceLine(server)])
    const client = await server.connect(database)
    const { rows: found } = await client.query('SELECT pg_database_size(current_database()) AS bytes')
    await client.end()
    const size = Math.round(Number(found[0].bytes) / 2 ** 20)
    const title = `PostgreSQL, ${tables} tables of ${rowsPerTable} rows, ${size} MiB on disk with indexes, one run`
    process.stdout.write(`\n${title}\n`)
    for (const part of [snapshots, restores, underLoad]) {
      const rows = await part(server, project, directory)
      process.stdout.write(`\n${table(['', 'git env', 'beside it', 'ratio'], rows)}\n`)
    }
  } finally {
    await server.stop()
  }
}

export function serviceLine(server: PostgresServer): string {
  return `  books: { type: postgres, url: ${JSON.stringify(server.url(database))} }`
}

/** A server with the filled database. */
export async function startShop(): Promise<PostgresServer> {
  const server = await startPostgres(['shared_buffers=512MB', 'max_wal_size=4GB', 'checkpoint_timeout=30min'])
  await server.run('postgres', `CREATE DATABASE ${database}`)
  for (let nr = 0; nr < tables; nr++) {
    const reference = nr % 2 === 1 ? `REFERENCES part_${nr - 1}` : ''
    await server.run(
      database,
      `CREATE TABLE part_${nr} (id integer PRIMARY KEY, other integer NOT NULL, name text NOT NULL, note text NOT NULL, price numeric(10, 2), at timestamptz NOT NULL)`,
      `INSERT INTO part_${nr} SELECT g, 1 + (g * 7919::bigint) % ${rowsPerTable}, md5(g::text), md5((g * 3 + ${nr})::text) || ' lorem ipsum dolor sit amet ' || md5((g + ${nr})::text),
         (g % 100000) / 100.0, timestamptz '2026-01-01Z' + g * interval '1 second' FROM generate_series(1, ${rowsPerTable}) g`,
      `CREATE INDEX ON part_${nr} (name)`,
      reference === '' ? 'SELECT 1' : `ALTER TABLE part_${nr} ADD FOREIGN KEY (other) ${reference}`,
    )
  }
  await server.run(
    database,
    'CREATE TABLE written (number bigint PRIMARY KEY, writer integer, text text)',
    ...quietStatements,
  )
  return server
}

const quietStatements = ['VACUUM ANALYZE', 'CHECKPOINT']

function snapshots(server: PostgresServer, project: string, directory: string): Promise<string[][]> {
  const archive = path.join(directory, 'shop.dump')
  const dump = () => tool(server, directory, 'pg_dump', '-Fc', '-f', archive, database)
  return snapshotRows(project, 'pg_dump -Fc', archive, dump)
}

async function restores(server: PostgresServer, project: string, directory: string): Promise<string[][]> {
  await server.run('postgres', 'CREATE DATABASE beside')
  await server.run(database, ...quietStatements)
  const theirs = await tool(server, directory, 'pg_restore', '-j2', '-d', 'beside', path.join(directory, 'shop.dump'))
  await server.run('postgres', 'DROP DATABASE beside')
  return restoreRows(project, 'pg_restore -j2', theirs.seconds, {
    everything: async () => {
      for (let nr = 0; nr < tables; nr++)
        await server.run(database, `UPDATE part_${nr} SET note = note || '!' WHERE id % 3 = 0`)
      await server.run(database, 'ALTER TABLE part_0 ADD COLUMN more integer')
    },
    little: () => server.run(database, `UPDATE part_4 SET note = note || '!' WHERE id % 100 = 7`),
    settle: () => server.run(database, ...quietStatements),
  })
}

/** What writers wait while snapshots are taken, and at most in a swap of each kind. */
async function underLoad(server: PostgresServer, project: string): Promise<string[][]> {
  const load = await postgresLoad({ host: server.socketFolder, user: 'postgres', database })
  const rows = await freezeRows(project, { PostgreSQL: load })
  await server.run(database, `UPDATE part_4 SET note = note || '!' WHERE id % 100 = 8`)
  rows.push(['longest wait in a swap of rows', await longestInSwap(project, load), '', ''])
  await server.run(database, 'ALTER TABLE part_0 ADD COLUMN more integer')
  const inNames = await longestInSwap(project, load, 'latest')
  rows.push(['longest wait in a swap of names, connecting again included', inNames, '', ''])
  await load.stop()
  return rows
}

function tool(server: PostgresServer, directory: string, name: string, ...words: string[]) {
  return measure(path.join(server.binaries, name), words, {
    cwd: directory,
    env: { PGHOST: server.socketFolder, PGUSER: 'postgres' },
  })
}
