import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createRabbitmqSample, fingerprint as vhostContent } from '../samples/rabbitmq.ts'
import { databaseDump } from '../support/fingerprint.ts'
import { makeLibraryProject, ruinLibrary } from '../support/library-project.ts'
import { oddKeyChanges, oddKeys } from '../support/odd-redis.ts'
import { indexContent } from '../support/redis-content.ts'
import { mariadbServer } from '../support/servers/mariadb.ts'
import { sharedPostgres } from '../support/servers/postgres.ts'
import { redisServer } from '../support/servers/redis.ts'

const [index, spare, othersIndex] = [3, 4, 5]

/** A project with a service of every kind, on servers where another project has its data too. */
async function makeEverything() {
  const library = await makeLibraryProject()
  const { project } = library
  const redis = await redisServer()
  const keys = await redis.connect()
  onTestFinished(() => keys.destroy())
  const fill = (at: number, commands: Parameters<typeof keys.batch>[0]) => keys.batch([['SELECT', at], ...commands])
  for (const each of [index, othersIndex]) await fill(each, [['FLUSHDB'], ...oddKeys()])
  const queues = await createRabbitmqSample()
  mkdirSync(project.path('data'))
  const sqlite = project.path('data/app.sqlite')
  const sql = (text: string) => {
    const database = new DatabaseSync(sqlite)
    database.exec(text)
    database.close()
  }
  sql("PRAGMA journal_mode = wal; CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('good')")
  const value = project.path('data/value')
  writeFileSync(value, 'good\n')
  // Not shell tricks of the test: what a project's own script would do.
  writeFileSync(
    project.path('load.sh'),
    'read first; [ "$first" != unloadable ] || exit 3; echo "$first" > data/value\n',
  )
  const { url, management } = queues.config as { url: string; management: string }
  const lines = [
    `  cache: { type: redis, url: ${JSON.stringify(redis.url(index))}, spare: ${spare} }`,
    `  mail: { type: rabbitmq, url: ${JSON.stringify(url)}, management: ${JSON.stringify(management)} }`,
    '  notes: { type: sqlite, path: data/app.sqlite }',
    '  value: { type: command, dump: [cat, data/value], restore: [sh, load.sh] }',
    'mounts:',
  ]
  const config = readFileSync(project.path('.git-env.yaml'), 'utf8')
  writeFileSync(
    project.path('.git-env.yaml'),
    config.replace('mounts:', lines.join('\n').trimStart()).replace('cache:', '  cache:'),
  )
  writeFileSync(project.path('.gitignore'), 'media/\ndata/\n.git-env.local\n')
  await project.git('add', '.')
  await project.git('commit', '-qm', 'all services')
  await project.ok('allow')

  const [mariadb, postgres] = [await mariadbServer(), await sharedPostgres()]
  const others = `others_${process.pid}`
  await mariadb.sql(`CREATE DATABASE ${others}`)
  await mariadb.sql('CREATE TABLE t AS SELECT seq FROM seq_1_to_100', others)
  await postgres.run('postgres', `CREATE DATABASE ${others}`)
  await postgres.run(others, 'CREATE TABLE t AS SELECT g FROM generate_series(1, 100) g')
  onTestFinished(async () => {
    await mariadb.sql(`DROP DATABASE ${others}`)
    await postgres.run('postgres', `DROP DATABASE ${others}`)
  })
  return {
    project,
    /** Each service by its own means. */
    state: async () => ({
      library: library.state(),
      cache: await indexContent(keys, index),
      mail: await vhostContent(queues.server, queues.vhost),
      notes: databaseDump(sqlite),
      value: readFileSync(value, 'utf8'),
    }),
    /** What belongs to another project on the same servers. */
    strangers: async () => [
      mariadb.dump('--skip-dump-date', '--skip-comments', others),
      // Each dump has a password of its own for these lines.
      postgres.tool('pg_dump', [others]).replaceAll(/^\\(un)?restrict .*$/gm, ''),
      await indexContent(keys, othersIndex),
      await queues.strangers(),
    ],
    ruin: async (title: string) => {
      await ruinLibrary(library, title)
      await fill(index, oddKeyChanges(title.length))
      await queues.change(title.length)
      sql(`UPDATE notes SET text = '${title}'; CREATE TABLE IF NOT EXISTS stray (a)`)
      writeFileSync(value, `${title}\n`)
    },
  }
}

describe('MariaDB, PostgreSQL, Redis, RabbitMQ, SQLite, a mount and commands at once', () => {
  test('one snapshot, one restore and one undo bring each to where it was, and what others have stays as it is', async () => {
    const { project, state, strangers, ruin } = await makeEverything()
    const theirs = await strangers()
    const good = await state()
    await project.ok('snapshot', '-m', 'good')
    expect(await state()).toEqual(good)
    await ruin('ruined')
    const bad = await state()
    for (const name of Object.keys(good) as (keyof typeof good)[]) expect(bad[name]).not.toEqual(good[name])
    await project.ok('restore', '--yes')
    expect(await state()).toEqual(good)
    await project.ok('undo')
    expect(await state()).toEqual(bad)
    await project.ok('undo', '--redo')
    expect(await state()).toEqual(good)
    expect(await strangers()).toEqual(theirs)
  })

  test('where one cannot be restored, all are as they were before', async () => {
    const { project, state, strangers, ruin } = await makeEverything()
    const theirs = await strangers()
    writeFileSync(project.path('data/value'), 'unloadable\n')
    await project.ok('snapshot', '-m', 'with a value that does not load')
    await ruin('ruined')
    const bad = await state()
    const ran = await project.run(['restore', '--yes'])
    expect(ran.status).not.toBe(0)
    expect(ran.stderr).toContain('value')
    expect(await state()).toEqual(bad)
    expect(await strangers()).toEqual(theirs)
    expect(await project.ok('status')).not.toContain('unfinished')
  })
})
