import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { command } from './commands.ts'
import { fileLoad } from './file-load.ts'
import { serviceLine as mariadbLine, startShop as startMariadbShop } from './mariadb.ts'
import { mariadbLoad } from './mariadb-load.ts'
import { table } from './measure.ts'
import { serviceLine as postgresLine, startShop as startPostgresShop } from './postgres.ts'
import { postgresLoad } from './postgres-load.ts'
import { database, freezeRows, makeProject } from './shop.ts'

/** All at one point: MariaDB and PostgreSQL of about 1 GB each, SQLite in WAL mode and a mount of 2,000 files, each with writers of its own. */
export async function benchFreeze(directory: string): Promise<void> {
  const mariadb = await startMariadbShop(directory)
  const postgres = await startPostgresShop()
  try {
    const project = path.join(directory, 'project')
    makeProject(project, [
      'services:',
      mariadbLine(mariadb),
      postgresLine(postgres),
      '  app: { type: sqlite, path: data/app.sqlite }',
      'mounts:',
      '  media: media',
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
    const rows = await freezeRows(project, loads)
    for (const load of Object.values(loads)) await load.stop()
    const title = 'MariaDB, PostgreSQL, SQLite and a mount at one common point, all under load'
    process.stdout.write(`\n${title}\n\n${table(['', 'git env', 'beside it', ''], rows)}\n`)
  } finally {
    mariadb.stop()
    await Promise.all([mariadb.ended, postgres.stop()])
  }
}
