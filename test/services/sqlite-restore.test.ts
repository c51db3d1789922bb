import { rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createSqliteSample } from '../samples/sqlite.ts'
import { ServiceBench } from '../support/service-bench.ts'
import { sqliteContent } from '../support/sqlite-content.ts'
import { startSqliteWriter } from '../support/sqlite-writer.ts'

async function open(journalMode: 'wal' | 'delete' = 'wal') {
  const bench = await ServiceBench.open({ type: 'sqlite', create: () => createSqliteSample(journalMode) })
  return { bench, file: path.join(bench.live.projectDirectory, 'data/app.sqlite') }
}

/** A connection of "the application", closed when the test ends. */
function connect(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: 30_000, enableForeignKeyConstraints: false })
  onTestFinished(() => database.close())
  return database
}

function change(file: string, sql: string): void {
  const database = new DatabaseSync(file, { timeout: 30_000, enableForeignKeyConstraints: false })
  database.exec(sql)
  database.close()
}

describe('a connection that is open through a restore', () => {
  for (const mode of ['wal', 'delete'] as const) {
    test(`sees the restored rows by its prepared statements, and writes on (${mode})`, async () => {
      const { bench, file } = await open(mode)
      const application = connect(file)
      const names = application.prepare('SELECT count(*) AS n FROM numbered')
      const add = application.prepare(`INSERT INTO numbered (name) VALUES (?)`)
      const wanted = names.get()
      const target = await bench.capture()
      application.exec(`DELETE FROM numbered; DROP TABLE keyed; CREATE TABLE other (a); INSERT INTO log VALUES ('x')`)
      await bench.restore(target)
      expect(names.get()).toEqual(wanted)
      add.run('after the restore')
      expect(application.prepare('SELECT name FROM numbered ORDER BY id DESC').get()).toEqual({
        name: 'after the restore',
      })
      expect(application.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
      expect(application.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: mode })
    })
  }

  test('refuses to have its file replaced, and is named', async () => {
    const { bench, file } = await open()
    const target = await bench.capture()
    rmSync(file)
    for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true })
    const absent = await bench.capture()
    await bench.restore(target)
    const writer = await startSqliteWriter(file)
    while (writer.acknowledged().length === 0) await sleep(5)
    await expect(bench.stage(absent)).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(/\(\d+\)/),
    })
  })
})

describe('writing only what differs', () => {
  test('a restore of single tables leaves all others as they are', async () => {
    const { bench, file } = await open()
    const target = await bench.capture()
    change(
      file,
      `DELETE FROM numbered WHERE id > 5; UPDATE big SET data = x'01'; DELETE FROM words; DROP TABLE keyed; CREATE TABLE extra (a)`,
    )
    await bench.restore(target, undefined, ['numbered', 'words'])
    const objects = new Map((await bench.capture()).objects.map((object) => [object.name, object.digest]))
    for (const object of target.objects) {
      if (['numbered', 'words_content', 'words_data'].includes(object.name))
        expect(objects.get(object.name)).toBe(object.digest)
      if (['big', 'keyed'].includes(object.name)) expect(objects.get(object.name)).not.toBe(object.digest)
    }
    expect(objects.has('extra')).toBe(true)
    const application = connect(file)
    expect(application.prepare(`SELECT count(*) AS n FROM words WHERE words MATCH 'hello'`).get()).toEqual({ n: 1 })
    expect(application.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
    await expect(bench.stage(target, undefined, ['no such table'])).rejects.toMatchObject({ code: 'not-found' })
  })

  test('rows that trade unique values, and rowids far apart, come back', async () => {
    const { bench, file } = await open()
    const wanted = await bench.live.fingerprint()
    const target = await bench.capture()
    change(
      file,
      `UPDATE numbered SET name = 'x' || name; UPDATE numbered SET name = 'name 1' WHERE id = 2000; DELETE FROM plain WHERE rowid > 4611686018427387000;
       INSERT INTO plain (rowid, a) VALUES (-9223372036854775808, 1), (9223372036854775807, 2)`,
    )
    await bench.restore(target)
    expect(await bench.live.fingerprint()).toBe(wanted)
  })

  test('page size, and nothing else of the file, stays that of the live database', async () => {
    const { bench, file } = await open('delete')
    const target = await bench.capture()
    const wanted = await bench.live.fingerprint()
    change(file, 'PRAGMA page_size = 1024; VACUUM; DELETE FROM numbered')
    await bench.restore(target)
    expect(await bench.live.fingerprint()).toBe(wanted)
    expect(connect(file).prepare('PRAGMA page_size').get()).toEqual({ page_size: 1024 })
  })

  test('texts in UTF-16 come back in UTF-16, also into a database that is in UTF-8 now', async () => {
    const { bench, file } = await open()
    const remake = (encoding: string) => {
      for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true })
      change(
        file,
        `PRAGMA encoding = '${encoding}'; CREATE TABLE t (a); INSERT INTO t VALUES ('${encoding} 🐘'), (1.5)`,
      )
    }
    remake('UTF-16le')
    const wanted = await bench.live.fingerprint()
    const target = await bench.capture()
    change(file, `DELETE FROM t; ALTER TABLE t ADD COLUMN b DEFAULT 'é'`)
    await bench.restore(target)
    expect(await bench.live.fingerprint()).toBe(wanted)
    remake('UTF-8')
    await bench.restore(target)
    expect(await bench.live.fingerprint()).toBe(wanted)
  })

  test('a database that only its application can index is restored by renaming, and by nothing else', async () => {
    const { bench, file } = await open()
    const application = new DatabaseSync(file, { timeout: 30_000 })
    application.function('shout', { deterministic: true }, (text) => String(text).toUpperCase())
    application.exec(`CREATE TABLE t (a); INSERT INTO t VALUES ('a'), ('b'); CREATE INDEX loud ON t (shout(a))`)
    const target = await bench.capture()
    application.exec(`INSERT INTO t VALUES ('c')`)
    application.close()
    expect(await bench.stage(target)).toMatchObject({ way: 'rename' })
    await bench.restore(target)
    expect(connect(file).prepare('SELECT count(*) AS n FROM t NOT INDEXED').get()).toEqual({ n: 2 })
  })
})

describe('files as they are', () => {
  test('an empty file is an empty database, and comes back as an empty file with its time', async () => {
    const { bench, file } = await open()
    const target = await bench.capture()
    for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true })
    writeFileSync(file, '')
    const { mtimeNs, mode } = statSync(file, { bigint: true })
    const before = await bench.restore(target)
    expect(before).toMatchObject({ presence: 'present', bytes: 0 })
    await bench.restore(before)
    expect(statSync(file, { bigint: true })).toMatchObject({ size: 0n, mtimeNs, mode })
  })

  test('mode stays as it is through a restore by renaming', async () => {
    const { bench, file } = await open()
    const target = await bench.capture()
    writeFileSync(file, 'garbage', { mode: 0o640 })
    const { mode } = statSync(file)
    await bench.restore(target)
    expect(statSync(file).mode).toBe(mode)
  })

  test('a folder that is gone is made again', async () => {
    const { bench, file } = await open()
    const wanted = await bench.live.fingerprint()
    const target = await bench.capture()
    rmSync(path.dirname(file), { recursive: true })
    await bench.restore(target)
    expect(sqliteContent(file)).toBe(wanted)
  })

  test('a -wal of another time beside the file is set aside with it, and never read into the new one', async () => {
    const { bench, file } = await open()
    const application = connect(file)
    application.exec(`INSERT INTO log VALUES ('in the log')`)
    const wanted = await bench.live.fingerprint()
    const target = await bench.capture()
    rmSync(file)
    const before = await bench.restore(target)
    expect(before.streams.map((stream) => stream.name)).toContain('file-wal')
    expect(await bench.live.fingerprint()).toBe(wanted)
  })
})
