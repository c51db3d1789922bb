import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type PostgresServer, startPostgres } from '../test/support/servers/postgres.ts'
import { command, compared, restore, seconds, startAnew } from './commands.ts'
import { measure, median, table } from './measure.ts'
import { postgresLoad } from './postgres-load.ts'
import { git } from './project.ts'

const tables = 10
/** About 100 MB each, as text. */
const rowsPerTable = 640_000
const snapshotsUnderLoad = 20
const database = 'shop'

/** A database of about 1 GB: git-env beside pg_dump and pg_restore, and what writers notice. */
export async function benchPostgres(directory: string): Promise<void> {
  const server = await startPostgres(['shared_buffers=512MB', 'max_wal_size=4GB', 'checkpoint_timeout=30min'])
  try {
    await fill(server)
    const project = path.join(directory, 'project')
    makeProject(project, server)
    const { bytes } = await size(server)
    const title = `PostgreSQL, ${tables} tables of ${rowsPerTable} rows, ${Math.round(bytes / 2 ** 20)} MiB on disk with indexes, one run`
    process.stdout.write(`\n${title}\n`)
    for (const part of [snapshotRows, restoreRows, loadRows]) {
      const rows = await part(server, project, directory)
      process.stdout.write(`\n${table(['', 'git env', 'beside it', 'ratio'], rows)}\n`)
    }
  } finally {
    await server.stop()
  }
}

async function size(server: PostgresServer): Promise<{ bytes: number }> {
  const client = await server.connect(database)
  const { rows } = await client.query(`SELECT pg_database_size(current_database()) AS bytes`)
  await client.end()
  return { bytes: Number(rows[0].bytes) }
}

async function fill(server: PostgresServer): Promise<void> {
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
    'VACUUM ANALYZE',
    'CHECKPOINT',
  )
}

function makeProject(project: string, server: PostgresServer): void {
  mkdirSync(project, { recursive: true })
  git(project, ['init', '-q', '-b', 'main'])
  writeFileSync(
    path.join(project, '.git-env.yaml'),
    `services:\n  db: { type: postgres, url: ${JSON.stringify(server.url(database))} }\n`,
  )
  git(project, ['add', '.'])
  git(project, ['commit', '-qm', 'first'])
}

async function snapshotRows(server: PostgresServer, project: string, directory: string): Promise<string[][]> {
  const ours: number[] = []
  const theirs: number[] = []
  const archive = path.join(directory, 'shop.dump')
  for (let run = 0; run < 2; run++) {
    await startAnew(project)
    ours.push((await command(project, 'snapshot', '--side', '-m', 'bench')).seconds)
    theirs.push((await tool(server, directory, 'pg_dump', '-Fc', '-f', archive, database)).seconds)
  }
  const again = await command(project, 'snapshot', '--side', '-m', 'again')
  return [
    compared('first snapshot, pg_dump -Fc', median(ours), median(theirs)),
    [`a second one, ${Math.round(statSync(archive).size / 2 ** 20)} MiB is the dump`, seconds(again.seconds), '', ''],
  ]
}

async function restoreRows(server: PostgresServer, project: string, directory: string): Promise<string[][]> {
  await server.run('postgres', 'CREATE DATABASE beside')
  await settle(server)
  const theirs = await tool(server, directory, 'pg_restore', '-j2', '-d', 'beside', path.join(directory, 'shop.dump'))
  await server.run('postgres', 'DROP DATABASE beside')
  for (let nr = 0; nr < tables; nr++)
    await server.run(database, `UPDATE part_${nr} SET note = note || '!' WHERE id % 3 = 0`)
  await server.run(database, 'ALTER TABLE part_0 ADD COLUMN more integer')
  await settle(server)
  const full = await restore(project)
  await server.run(database, `UPDATE part_4 SET note = note || '!' WHERE id % 100 = 7`)
  await settle(server)
  const little = await restore(project)
  return [
    compared('full restore, pg_restore -j2', full.seconds, theirs.seconds),
    ['  the safety snapshot before it', seconds(full.safety), '', ''],
    [
      'restore after 1 % of the rows of one table',
      seconds(little.seconds),
      `${seconds(full.seconds)} in full`,
      (full.seconds / little.seconds).toFixed(1),
    ],
    ['  the safety snapshot before it', seconds(little.safety), '', ''],
  ]
}

/** Neither side pays for what was done before it. */
async function settle(server: PostgresServer): Promise<void> {
  await server.run(database, 'VACUUM ANALYZE', 'CHECKPOINT')
}

/** What writers wait while snapshots are taken, and at most in a swap of each kind. */
async function loadRows(server: PostgresServer, project: string): Promise<string[][]> {
  const load = await postgresLoad({ host: server.socketFolder, user: 'postgres', database })
  const freezes: number[] = []
  for (let run = 0; run < snapshotsUnderLoad; run++) {
    const { at } = await command(project, 'snapshot', '--side', '-m', `under load ${run}`)
    freezes.push(load.longestWaitAt(at.get('snapshot: point taken')!))
  }
  const quiet = load.usual()
  await server.run(database, `UPDATE part_4 SET note = note || '!' WHERE id % 100 = 8`)
  const rows = await command(project, 'restore', '--yes', '--data-only')
  const inRows = load.longestBetween(rows.at.get('swap: held')! - 1000, rows.at.get('swap: released')! + 500)
  await server.run(database, 'ALTER TABLE part_0 ADD COLUMN more integer')
  const names = await command(project, 'restore', '--yes', '--data-only', 'latest')
  const inNames = load.longestBetween(names.at.get('swap: held')! - 1000, names.at.get('swap: released')! + 500)
  await load.stop()
  freezes.sort((a, b) => a - b)
  return [
    [
      `freeze under load, p95 of ${snapshotsUnderLoad} (longest wait around the point)`,
      `${freezes[Math.ceil(freezes.length * 0.95) - 1]!.toFixed(1)} ms`,
      `${quiet.toFixed(1)} ms: p95 of all writes`,
      '',
    ],
    ['  median', `${median(freezes).toFixed(1)} ms`, '', ''],
    ['longest wait in a swap of rows', `${inRows.toFixed(0)} ms`, '', ''],
    [`longest wait in a swap of names, connecting again included`, `${inNames.toFixed(0)} ms`, '', ''],
  ]
}

function tool(server: PostgresServer, directory: string, name: string, ...words: string[]) {
  return measure(path.join(server.binaries, name), words, {
    cwd: directory,
    env: { PGHOST: server.socketFolder, PGUSER: 'postgres' },
  })
}
