import { describe, expect, onTestFinished, test } from 'vitest'
import type { Capture } from '../../src/services/service-driver.ts'
import { createMariadbSample, fingerprintOf } from '../samples/mariadb.ts'
import { librarySql } from '../support/library-sql.ts'
import { startMariadbWriter } from '../support/mariadb-writer.ts'
import { until } from '../support/running.ts'
import { mariadbServer } from '../support/servers/mariadb.ts'
import { ServiceBench } from '../support/service-bench.ts'

const tables = `
CREATE TABLE written (number INT PRIMARY KEY, at VARCHAR(40)) ENGINE=InnoDB; CREATE TABLE slow (id INT PRIMARY KEY, n INT) ENGINE=InnoDB;
INSERT INTO slow SELECT seq, 0 FROM seq_1_to_200000;`
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const options = { damage: 'refuse', live: false, progress() {} } as const

async function open(user: 'root' | 'owner', fill = tables) {
  const server = await mariadbServer()
  const bench = await ServiceBench.open({ type: 'mariadb', create: () => createMariadbSample({ user, fill }) })
  const database = /\/(shop_\w+)\?/.exec(String(bench.live.config['url']))![1]!
  return { server, bench, database, sql: (text: string) => server.sql(text, database) }
}

async function holdInAttempts(capture: Capture): Promise<number> {
  for (let attempts = 1; attempts < 200; attempts++) {
    try {
      await capture.hold(20)
      return attempts
    } catch (error) {
      expect(error).toMatchObject({ code: 'busy' })
      await capture.release()
      await pause(20)
    }
  }
  throw new Error('was never held')
}

describe.each(['root', 'owner'] as const)('while %s captures', (user) => {
  test.each([
    ['an UPDATE', 'UPDATE slow SET n = n + 1 WHERE SLEEP(0.00001) = 0'],
    ['an ALTER', 'ALTER TABLE slow ADD COLUMN m CHAR(200) DEFAULT 1, ALGORITHM=COPY'],
  ])('%s that runs for seconds makes no other writer wait longer than one attempt', async (_, statement) => {
    const { server, bench, database } = await open(user)
    const writer = await startMariadbWriter({ socketPath: server.socketPath, database })
    await until(() => writer.acknowledged().length > 0 || undefined, 'the writer')
    const blocker = await server.connect(database)
    const done = blocker.query(statement).catch((error) => error)
    await pause(300)
    const service = await bench.service()
    const capture = await service.capture(bench.content, options)
    for (let attempt = 0; attempt < 12; attempt++) {
      await capture.hold(20).catch((error) => expect(error.code).toBe('busy'))
      await capture.release()
      await pause(20)
    }
    await capture.close()
    await server.sql(`KILL ${blocker.threadId}`)
    await done
    await writer.stop()
    expect(writer.errors).toEqual([])
    // The other statement runs for seconds; a slow machine takes its part of the time.
    expect(writer.longestWaitMs()).toBeLessThan(1000)
    expect(writer.acknowledged().length).toBeGreaterThan(3)
  })
})

test('who is in the way is named', async () => {
  const { server, bench, database } = await open('owner')
  const blocker = await server.connect(database)
  await blocker.query('BEGIN; UPDATE slow SET n = 1 WHERE id = 1')
  const capture = await (await bench.service()).capture(bench.content, options)
  await expect(capture.hold(20)).rejects.toMatchObject({ code: 'busy', hint: expect.stringContaining('wait until') })
  await blocker.query('ROLLBACK')
  await blocker.end()
  expect(await holdInAttempts(capture)).toBeLessThan(5)
  await capture.close()
})

test('tables without transactions are of the same moment, and their writers wait until they are read', async () => {
  const fill =
    'CREATE TABLE a (n INT PRIMARY KEY) ENGINE=InnoDB; CREATE TABLE b (n INT PRIMARY KEY) ENGINE=MyISAM; CREATE TABLE c (n INT PRIMARY KEY) ENGINE=Aria;'
  for (const user of ['root', 'owner'] as const) {
    const { server, bench, database, sql } = await open(user, fill)
    const statement = 'INSERT INTO a VALUES (?)'
    const writer = await startMariadbWriter({ socketPath: server.socketPath, database, statement })
    const other = await startMariadbWriter({
      socketPath: server.socketPath,
      database,
      statement: 'INSERT INTO b VALUES (?)',
    })
    await pause(100)
    const service = await bench.service()
    const capture = await service.capture(bench.content, options)
    await holdInAttempts(capture)
    const counts = await sql('SELECT (SELECT COUNT(*) FROM a) a, (SELECT COUNT(*) FROM b) b')
    await capture.point()
    await capture.release()
    await pause(50)
    const record = await capture.copy()
    await capture.close()
    await pause(50)
    await Promise.all([writer.stop(), other.stop()])
    const rows = new Map(record.objects.map(({ name, rows }) => [name, rows]))
    expect(record.level).toBe('frozen')
    expect(rows.get('b')).toBe(counts[0]!['b'])
    expect(Math.abs(rows.get('a')! - Number(counts[0]!['a']))).toBeLessThanOrEqual(1)
    expect((await service.probe()).warnings.join()).toMatch(/b \(MyISAM\), c \(Aria\)/)
  }
})

test('each right less is a rung less, and doctor says which grant gives the next', async () => {
  const { server, bench, database } = await open('root')
  const account = `'less_${process.pid}'@'localhost'`
  onTestFinished(async () => void (await server.sql(`DROP USER ${account}`)))
  await server.sql(
    `CREATE USER ${account} IDENTIFIED BY 'p'; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON \`${database}\`.* TO ${account}`,
  )
  const config = { url: `mysql://less_${process.pid}:p@localhost/${database}?socketPath=${server.socketPath}` }
  const { loadDriver } = await import('../../src/services/registry.ts')
  const driver = await loadDriver('mariadb')
  const context = {
    ...bench.context,
    foreign: new Set<string>(),
    variable: () => undefined,
    commands: { environment: {}, secrets: [] },
    trace() {},
    signal: AbortSignal.timeout(60_000),
  }
  const service = await driver.open(config, context)
  const captured = async () => {
    const capture = await service.capture(bench.content, options)
    await capture.hold(1000)
    await capture.point()
    await capture.release()
    const record = await capture.copy()
    await capture.close()
    return record
  }
  const seen: unknown[] = []
  for (const grant of ['', `LOCK TABLES ON \`${database}\`.*`, 'RELOAD, PROCESS ON *.*']) {
    if (grant !== '') await server.sql(`GRANT ${grant} TO ${account}`)
    const { rung, advice } = await service.probe()
    const { level, facts } = await captured()
    seen.push([
      level,
      facts['rung'],
      rung.replace(/.*\((.*)\)$/, '$1'),
      advice?.replaceAll('\\_', '_').replaceAll(database, 'shop').replaceAll(String(process.pid), 'n'),
    ])
  }
  expect(seen).toEqual([
    ['point', 'transaction', 'one transaction', "GRANT LOCK TABLES ON `shop`.* TO 'less_n'@'localhost'"],
    ['frozen', 'table locks', 'LOCK TABLES', "GRANT RELOAD, PROCESS ON *.* TO 'less_n'@'localhost'"],
    ['frozen', 'stage', 'BACKUP STAGE', undefined],
  ])
  await expect(
    service.stage(await captured(), await captured(), {
      source: bench.content,
      id: '01j00000000000000000000000',
      progress() {},
    }),
  ).rejects.toMatchObject({
    code: 'refused',
    hint: expect.stringContaining(`GRANT ALL PRIVILEGES ON`),
  })
  await service.close()
})

test('two databases of one server are held together, and never show their counters apart', async () => {
  const server = await mariadbServer()
  const one = await open(
    'root',
    'CREATE TABLE step (id INT PRIMARY KEY, n INT) ENGINE=InnoDB; INSERT INTO step VALUES (1, 0);',
  )
  const two = await open(
    'root',
    'CREATE TABLE step (id INT PRIMARY KEY, n INT) ENGINE=InnoDB; INSERT INTO step VALUES (1, 0);',
  )
  const connection = await server.connect()
  let stop = false
  const advancing = (async () => {
    for (let n = 1; !stop; n++) {
      for (const { database } of [one, two]) await connection.query(`UPDATE ${database}.step SET n = ${n}`)
    }
  })()
  for (let round = 0; round < 20; round++) {
    const captures = [
      await (await one.bench.service()).capture(one.bench.content, options),
      await (await two.bench.service()).capture(two.bench.content, options),
    ]
    await Promise.all(captures.map((each) => each.hold(1000)))
    await Promise.all(captures.map((each) => each.point()))
    await Promise.all(captures.map((each) => each.release()))
    const records = await Promise.all(captures.map((each) => each.copy()))
    await Promise.all(captures.map((each) => each.close()))
    const counters: number[] = []
    for (const [i, record] of records.entries()) {
      const stream = record.streams.find(({ name }) => name === 'table/step')!
      let text = ''
      for await (const part of [one, two][i]!.bench.content.read(stream.content)) text += Buffer.from(part).toString()
      counters.push(Number(text.split('\t')[1]))
    }
    expect(counters[0]! - counters[1]!).toBeGreaterThanOrEqual(0)
    expect(counters[0]! - counters[1]!).toBeLessThanOrEqual(1)
  }
  stop = true
  await advancing
  await connection.end()
})

test('another backup of the server does not stop us', async () => {
  const { server, bench } = await open('root')
  const other = await server.connect()
  await other.query('BACKUP STAGE START')
  expect((await bench.capture()).facts['rung']).toBe('table locks')
  await other.query('BACKUP STAGE END')
  await other.end()
})

test('a table that is altered while it is read fails the capture, which can be taken again', async () => {
  const { bench, sql } = await open('owner')
  const capture = await (await bench.service()).capture(bench.content, options)
  await capture.hold(1000)
  await capture.point()
  await capture.release()
  await sql('ALTER TABLE slow ADD COLUMN more INT')
  await expect(capture.copy()).rejects.toMatchObject({ code: 'busy' })
  await capture.close()
  expect((await bench.capture()).presence).toBe('present')
})

test('a library, ruined while people write to it, comes back to the letter', async () => {
  for (const user of ['root', 'owner'] as const) {
    const { server, bench, database, sql } = await open(user, librarySql('mysql'))
    await sql(`UPDATE Author SET Name = CONCAT(Name, '!') WHERE AuthorId % 7 = 0`)
    const quiet = await fingerprintOf(server, database)
    const first = await bench.capture()
    const writer = await startMariadbWriter({
      socketPath: server.socketPath,
      database,
      statement: `INSERT INTO Shelf VALUES (1000 + ?, 'new')`,
    })
    await pause(200)
    const loaded = await bench.capture()
    await sql(
      'SET foreign_key_checks = 0; DROP TABLE Book; ALTER TABLE Member DROP COLUMN Name; DELETE FROM Loan; CREATE TABLE extra (i INT)',
    )
    await bench.restore(loaded, async () => void (await pause(100)))
    await writer.stop()
    expect(writer.errors.filter((text) => !/Duplicate/.test(text))).toEqual([])
    await bench.restore(first)
    expect(await fingerprintOf(server, database)).toBe(quiet)
    const again = await bench.restore(loaded)
    expect(again.objects).toEqual(first.objects)
    expect((await bench.capture()).objects).toEqual(loaded.objects)
  }
})
