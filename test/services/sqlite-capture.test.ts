import { execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import sqlite from '../../src/services/sqlite.ts'
import { createSqliteSample } from '../samples/sqlite.ts'
import { ServiceBench } from '../support/service-bench.ts'
import { sqliteContent } from '../support/sqlite-content.ts'
import { temporaryDirectory } from '../support/temporary.ts'

async function open(journalMode: 'wal' | 'delete' = 'wal') {
  const bench = await ServiceBench.open({ type: 'sqlite', create: () => createSqliteSample(journalMode) })
  return { bench, file: path.join(bench.live.projectDirectory, 'data/app.sqlite') }
}

function connect(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: 10, enableForeignKeyConstraints: false })
  onTestFinished(() => database.close())
  return database
}

describe('the point', () => {
  test('writers commit while a WAL database is copied, and the copy is of before', async () => {
    const { bench, file } = await open('wal')
    const application = connect(file)
    const wanted = await bench.live.fingerprint()
    const record = await bench.capture('refuse', async () => {
      for (let i = 0; i < 50; i++)
        application.exec(`INSERT INTO log VALUES ('later ${i}'); UPDATE numbered SET name = name || 'x'`)
    })
    expect(record.facts['heldMicros']).toBe(0)
    await bench.restore(record)
    expect(await bench.live.fingerprint()).toBe(wanted)
  })

  test('in delete mode a writer waits until the copy is there, and for how long is recorded', async () => {
    const { bench, file } = await open('delete')
    const application = connect(file)
    const service = await bench.service()
    const capture = await service.capture(bench.content, { damage: 'refuse', live: false, progress() {} })
    await capture.hold(1000)
    await capture.point()
    await capture.release()
    expect(() => application.exec(`INSERT INTO log VALUES ('waits')`)).toThrow(/locked/)
    const record = await capture.copy()
    application.exec(`INSERT INTO log VALUES ('goes on')`)
    await capture.close()
    expect(record.facts['heldMicros']).toBeGreaterThan(0)
    expect((await bench.probe()).warnings).toEqual([expect.stringContaining('in delete mode a writer waits')])
  })

  test('bytes are the same after a checkpoint, and in another process', async () => {
    const { bench, file } = await open('wal')
    const application = connect(file)
    application.exec(`INSERT INTO log VALUES ('in the log')`)
    const first = await bench.capture()
    application.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    expect((await bench.capture()).streams).toEqual(first.streams)
    application.close()
    expect((await bench.capture()).streams).toEqual(first.streams)
    onTestFinished(() => application.open())
  })

  test('taken live, it asks nobody to wait and is called a point', async () => {
    const { bench } = await open()
    const capture = await (await bench.service()).capture(bench.content, {
      damage: 'refuse',
      live: true,
      progress() {},
    })
    await capture.point()
    expect((await capture.copy()).level).toBe('point')
    await capture.close()
  })

  test.each(['wal', 'delete'] as const)(
    'a write that does not end is busy, and its process is named (%s)',
    async (mode) => {
      const { bench, file } = await open(mode)
      const blocker = await holdElsewhere(file)
      const capture = await (await bench.service()).capture(bench.content, {
        damage: 'refuse',
        live: false,
        progress() {},
      })
      const started = performance.now()
      await expect(capture.hold(300)).rejects.toMatchObject({
        code: 'busy',
        message: expect.stringContaining(`(${blocker})`),
      })
      expect(performance.now() - started).toBeLessThan(2000)
      await capture.close()
    },
  )
})

describe('digests', () => {
  const pairs: readonly (readonly [string, string, string])[] = [
    ['an integer and a real', '1', '1.0'],
    ['a text and a blob', `'a'`, `x'61'`],
    ['zero and minus zero', '0.0', '-0.0'],
    ['the greatest integer and the one below', '9223372036854775807', '9223372036854775806'],
    ['texts that differ after a NUL', `'a' || char(0) || 'b'`, `'a' || char(0) || 'c'`],
    ['texts that are not UTF-8', `CAST(x'ff' AS TEXT)`, `CAST(x'fe' AS TEXT)`],
    ['an empty text and NULL', `''`, 'NULL'],
    ['infinity and its negative', '9e999', '-9e999'],
  ]
  test('tell values apart by type and by every bit', async () => {
    const tables = pairs.map(
      ([, one, other], i) => `CREATE TABLE one_${i} (a); CREATE TABLE other_${i} (a);
        INSERT INTO one_${i} VALUES (${one}); INSERT INTO other_${i} VALUES (${other});`,
    )
    const digests = await digestsOf(tables.join(''))
    expect(pairs.filter((_, i) => digests.get(`one_${i}`) === digests.get(`other_${i}`))).toEqual([])
    expect(digests.get('one_6')).toBeDefined()
  })

  test('are the same however the rows came to be', async () => {
    const digests = await digestsOf(`
      CREATE TABLE straight (id INTEGER PRIMARY KEY, a); CREATE TABLE crooked (id INTEGER PRIMARY KEY, a);
      INSERT INTO straight VALUES (1, 'a'), (2, zeroblob(50000)), (3, 1.5);
      INSERT INTO crooked VALUES (3, 'x'), (2, zeroblob(50000)), (7, 'gone'), (1, 'a');
      UPDATE crooked SET a = 1.5 WHERE id = 3; DELETE FROM crooked WHERE id = 7; VACUUM`)
    expect(digests.get('crooked')).toBe(digests.get('straight'))
  })

  test('fill in columns that were added later, as if they had been there', async () => {
    const add = (
      table: string,
    ) => `ALTER TABLE ${table} ADD COLUMN b DEFAULT 'x'; ALTER TABLE ${table} ADD COLUMN c REAL DEFAULT 5;
      ALTER TABLE ${table} ADD COLUMN d DEFAULT NULL;`
    const digests = await digestsOf(`
      CREATE TABLE later (id INTEGER PRIMARY KEY, a); CREATE TABLE at_once (id INTEGER PRIMARY KEY, a);
      INSERT INTO later VALUES (1, 'a'), (2, zeroblob(9000)); ${add('later')} ${add('at_once')}
      INSERT INTO at_once VALUES (1, 'a', 'x', 5, NULL), (2, zeroblob(9000), 'x', 5.0, NULL)`)
    expect(digests.get('later')).toBe(digests.get('at_once'))
  })

  async function digestsOf(sql: string): Promise<Map<string, string>> {
    const { bench, file } = await open('delete')
    connect(file).exec(sql)
    return new Map((await bench.capture()).objects.map(({ name, digest }) => [name, digest]))
  }
})

describe('ruins', () => {
  test('a hot journal beside the file is the crash of a writer: its half transaction is not in the capture', async () => {
    const { bench, file } = await open('delete')
    const wanted = await bench.live.fingerprint()
    await crashWriter(file)
    expect(readdirSync(path.dirname(file))).toContain('app.sqlite-journal')
    const record = await bench.capture('refuse')
    expect(record.presence).toBe('present')
    expect(await bench.live.fingerprint()).toBe(wanted)
  })

  test('copies that a killed process left are removed by the next capture', async () => {
    const { bench } = await open()
    await bench.capture()
    const identity = { pid: 2 ** 22 + 1, started: 'long ago', host: (await import('node:os')).hostname() }
    const owner = Buffer.from(JSON.stringify(identity)).toString('base64url')
    mkdirSync(path.join(bench.context.privateDirectory, `copy-00000000-${owner}`))
    await bench.capture()
    expect(readdirSync(bench.context.privateDirectory)).toEqual([])
  })
})

describe('what a configuration may name', () => {
  const context = async (projectDirectory: string, allowed = false) => ({
    name: 'app',
    environmentKey: 'main-12345678',
    projectDirectory,
    forbidden: [path.join(projectDirectory, '.git')],
    privateDirectory: path.join(projectDirectory, '.git/own'),
    allowed,
    foreign: new Set<string>(),
    nameHere: undefined,
    variable: () => undefined,
    commands: { environment: {}, secrets: [] },
    trace() {},
    signal: new AbortController().signal,
  })

  test('a database outside of the project is refused until that is allowed, also through a link', async () => {
    const [project, outside] = [await temporaryDirectory(), await temporaryDirectory()]
    symlinkSync(outside, path.join(project, 'link'))
    for (const file of ['../x.sqlite', path.join(outside, 'x.sqlite'), 'link/x.sqlite']) {
      await expect(sqlite.open({ path: file }, await context(project))).rejects.toMatchObject({ code: 'refused' })
    }
    const service = await sqlite.open({ path: 'link/x.sqlite' }, await context(project, true))
    expect(service.resources).toEqual([path.join(outside, 'x.sqlite')])
  })

  test('a database inside of .git, or a folder, is no database of the application', async () => {
    const project = await temporaryDirectory()
    mkdirSync(path.join(project, 'folder'))
    for (const file of ['.git/x.sqlite', 'folder', '.git/own/x']) {
      await expect(sqlite.open({ path: file }, await context(project))).rejects.toMatchObject({ code: 'usage' })
    }
  })

  test('{env} stands for the key of the environment', async () => {
    const project = await temporaryDirectory()
    const service = await sqlite.open({ path: 'data/{env}.sqlite' }, await context(project))
    expect(service.resources).toEqual([path.join(project, 'data/main-12345678.sqlite')])
  })
})

test('databases that Git does not track are proposed, by what is in the file', async () => {
  const directory = await temporaryDirectory()
  for (const folder of ['database', 'var/data', 'node_modules', 'vendor'])
    mkdirSync(path.join(directory, folder), { recursive: true })
  const database = path.join(directory, 'database/database.sqlite')
  const made = new DatabaseSync(database)
  made.exec('CREATE TABLE t (a)')
  made.close()
  for (const file of ['var/data/Shop 2.db', 'tracked.sqlite', 'node_modules/x.sqlite', 'vendor/x.db', 'notes.txt']) {
    copyFileSync(database, path.join(directory, file))
  }
  writeFileSync(path.join(directory, 'fake.sqlite'), 'not a database')
  const found = await sqlite.detect({ directory, tracked: new Set(['tracked.sqlite']) })
  expect(found.map(({ name, config }) => [name, config])).toEqual([
    ['shop-2', { path: 'var/data/Shop 2.db' }],
    ['database', { path: 'database/database.sqlite' }],
  ])
})

test('an export of a database opens, one of a ruin has the files that were there', async () => {
  const { bench, file } = await open()
  const directory = await temporaryDirectory()
  const record = await bench.capture()
  expect(await sqlite.export(record, bench.content, directory)).toEqual([{ stream: 'database', path: 'sample.sqlite' }])
  expect(sqliteContent(path.join(directory, 'sample.sqlite'))).toBe(sqliteContent(file))
  await bench.live.ruins['a -wal left without its file']!()
  const ruined = await bench.capture()
  expect(await sqlite.export(ruined, bench.content, path.join(directory, 'ruin'))).toEqual([
    { stream: 'file-wal', path: 'sample.sqlite-wal' },
  ])
})

const program = fileURLToPath(new URL('../support/sqlite-blocker.ts', import.meta.url))

/** A process with an open write transaction; gives its id. */
async function holdElsewhere(file: string): Promise<number> {
  const child = fork(program, ['hold', file], { execArgv: ['--no-warnings'] })
  const exited = once(child, 'exit')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  await once(child, 'message')
  return child.pid!
}

/** A process that dies in the middle of a transaction that has reached the file. */
async function crashWriter(file: string): Promise<void> {
  await promisify(execFile)(process.execPath, ['--no-warnings', program, 'crash', file]).catch(() => {})
}
