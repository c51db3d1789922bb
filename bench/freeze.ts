import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Word } from '../src/services/redis/connection.ts'
import { type RedisServer, startRedis } from '../test/support/servers/redis.ts'
import { command } from './commands.ts'
import { fileLoad } from './file-load.ts'
import type { Load } from './load.ts'
import { serviceLine as mariadbLine, startShop as startMariadbShop } from './mariadb.ts'
import { mariadbLoad } from './mariadb-load.ts'
import { table } from './measure.ts'
import { serviceLine as postgresLine, startShop as startPostgresShop } from './postgres.ts'
import { postgresLoad } from './postgres-load.ts'
import { git } from './project.ts'
import { redisLoad } from './redis-load.ts'
import { database, freezeRows, makeProject } from './shop.ts'

/**
 * All at one point: MariaDB and PostgreSQL of about 1 GB each, SQLite in WAL mode and a mount of 2,000 files, each with writers of its own; then the
 * same with a Redis of about 200 MB, whose fork is most of its freeze.
 */
export async function benchFreeze(directory: string): Promise<void> {
  const mariadb = await startMariadbShop(directory)
  const postgres = await startPostgresShop()
  const redis = await startRedis({ directory, settings: ['--save', '3600 1'] })
  try {
    const project = path.join(directory, 'project')
    makeProject(project, [
      'mounts:',
      '  media: media',
      'services:',
      mariadbLine(mariadb),
      postgresLine(postgres),
      '  app: { type: sqlite, path: data/app.sqlite }',
    ])
    const media = path.join(project, 'media')
    mkdirSync(path.join(project, 'data'))
    mkdirSync(path.join(media, 'written'), { recursive: true })
    for (let i = 0; i < 2000; i++) writeFileSync(path.join(media, `${i}.txt`), `file ${i}\n`.repeat(100))
    const sqlite = path.join(project, 'data/app.sqlite')
    const app = new DatabaseSync(sqlite)
    app.exec(
      `PRAGMA journal_mode = wal; CREATE TABLE counter (value INTEGER); INSERT INTO counter VALUES (0);
       CREATE TABLE filling AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT i, hex(randomblob(50)) AS text FROM n`,
    )
    app.close()
    await command(project, 'init')
    await command(project, 'snapshot', '--side', '-m', 'first')
    const loads = {
      MariaDB: await mariadbLoad({ socketPath: mariadb.socketPath, user: 'root', database }),
      PostgreSQL: await postgresLoad({ host: postgres.socketFolder, user: 'postgres', database }),
      SQLite: await fileLoad({ sqlite }),
      'files (nobody waits)': await fileLoad({ folder: path.join(media, 'written') }),
    }
    await freezeTable('MariaDB, PostgreSQL, SQLite and a mount at one common point, all under load', project, loads)
    await fill(redis)
    const line = `  cache: { type: redis, url: ${JSON.stringify(redis.url(0))}, spare: 15 }\n`
    appendFileSync(path.join(project, '.git-env.yaml'), line)
    git(project, ['commit', '-qam', 'redis'])
    const all = { ...loads, Redis: await redisLoad(redis) }
    await freezeTable('the same, and Redis', project, all)
    for (const load of Object.values(all)) await load.stop()
  } finally {
    mariadb.stop()
    redis.stop()
    await Promise.all([mariadb.ended, postgres.stop()])
  }
}

async function freezeTable(title: string, project: string, loads: Readonly<Record<string, Load>>): Promise<void> {
  const rows = await freezeRows(project, loads)
  process.stdout.write(`\n${title}\n\n${table(['', 'git env', 'beside it', ''], rows)}\n`)
}

/** About 200 MB in memory. */
async function fill(server: RedisServer): Promise<void> {
  const connection = await server.connect(0)
  for (let from = 0; from < 400_000; from += 1000) {
    const text = `lorem ipsum ${from} `.repeat(20)
    await connection.batch(Array.from({ length: 1000 }, (_, i): Word[] => ['SET', `page:${from + i}`, text]))
  }
  connection.destroy()
}
