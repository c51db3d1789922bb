import { describe, expect, test } from 'vitest'
import { createMariadbSample } from '../samples/mariadb.ts'
import { startMariadbWriter } from '../support/mariadb-writer.ts'
import { until } from '../support/running.ts'
import { mariadbServer } from '../support/servers/mariadb.ts'
import { ServiceBench } from '../support/service-bench.ts'

/** Two tables with a key between them, one that is large enough not to be read inside the hold, and a trigger that counts rows. */
const shop = `
CREATE TABLE customer (id INT PRIMARY KEY, name VARCHAR(20)) ENGINE=InnoDB;
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer INT NOT NULL, CONSTRAINT fk FOREIGN KEY (customer) REFERENCES customer (id)) ENGINE=InnoDB;
CREATE TABLE large (id INT PRIMARY KEY, text VARCHAR(255), seen INT NOT NULL DEFAULT 0) ENGINE=InnoDB;
CREATE TABLE written (number INT PRIMARY KEY, at VARCHAR(40)) ENGINE=InnoDB;
CREATE TABLE marked (number INT PRIMARY KEY) ENGINE=InnoDB;
CREATE TABLE log (what VARCHAR(20)) ENGINE=InnoDB; INSERT INTO log VALUES ('one');
CREATE TRIGGER customer_log AFTER DELETE ON customer FOR EACH ROW INSERT INTO log VALUES (OLD.name);
INSERT INTO customer SELECT seq, CONCAT('c', seq) FROM seq_1_to_50; INSERT INTO orders (customer) SELECT 1 + seq % 50 FROM seq_1_to_200;
INSERT INTO large SELECT seq, REPEAT(MD5(seq), 7), 0 FROM seq_1_to_30000;
CREATE TRIGGER written_mark AFTER INSERT ON written FOR EACH ROW INSERT IGNORE INTO marked VALUES (NEW.number);`

async function openShop(user: 'root' | 'owner' = 'root') {
  const server = await mariadbServer()
  const bench = await ServiceBench.open({ type: 'mariadb', create: () => createMariadbSample({ user, fill: shop }) })
  const database = /\/(shop_\w+)\?/.exec(String(bench.live.config['url']))![1]!
  const sql = (text: string) => server.sql(text, database)
  const writer = (statement?: string) =>
    startMariadbWriter({ socketPath: server.socketPath, database, ...(statement ? { statement } : {}) })
  return { server, bench, database, sql, writer }
}

const seen = 'UPDATE large SET seen = ? WHERE id = 1'
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe.each(['root', 'owner'] as const)('a swap as %s', (user) => {
  test('a table that was equal and is written to before the swap becomes the target too, and undo has every write', async () => {
    const { bench, sql, writer } = await openShop(user)
    await pause(2500)
    const target = await bench.capture()
    await sql('DELETE FROM customer WHERE id > 40 AND id NOT IN (SELECT customer FROM orders)')
    await sql('UPDATE customer SET name = UPPER(name)')
    const safety = await bench.capture()
    const staged = await bench.stage(target, safety)
    expect((staged as { parts?: { name: string }[] }).parts!.map(({ name }) => name)).toEqual(['customer'])
    const hammer = await writer(seen)
    await until(() => hammer.acknowledged().length > 60 || undefined, 'the writer')
    const swap = await bench.swap(staged)
    await swap.prepare!()
    await bench.finish(swap)
    const atSwap = (await sql('SELECT seen FROM large WHERE id = 1'))[0]!['seen'] as number
    await pause(200)
    const acknowledged = await hammer.stop()
    const before = await swap.before(bench.content, safety)
    await swap.discard()
    expect(hammer.errors).toEqual([])
    // The writer's last row before the swap is in what undo brings back; those after it are in the live data.
    const now = (await sql('SELECT seen FROM large WHERE id = 1'))[0]!['seen'] as number
    expect(now).toBe(acknowledged.at(-1))
    expect(atSwap === 0 || atSwap > 1).toBe(true)
    await bench.restore(before)
    const kept = (await sql('SELECT seen FROM large WHERE id = 1'))[0]!['seen'] as number
    expect(kept).toBeGreaterThan(50)
    expect(kept).toBeLessThan(now)
    expect(acknowledged.indexOf(kept + 1)).toBeGreaterThan(0)
    expect((await sql('SELECT SUM(BINARY name = BINARY UPPER(name)) n FROM customer'))[0]!['n']).toBe('50')
  })

  test('no row is written without its trigger', async () => {
    const { bench, sql, writer } = await openShop(user)
    const target = await bench.capture()
    await sql('UPDATE customer SET name = UPPER(name)')
    const hammers = [await writer(), await writer('INSERT INTO written VALUES (1000000 + ?, NULL)')]
    for (let round = 0; round < 4; round++) {
      await pause(150)
      await bench.restore(target)
    }
    for (const hammer of hammers) await hammer.stop()
    expect(await sql('SELECT number FROM written WHERE number NOT IN (SELECT number FROM marked)')).toEqual([])
    expect((await sql('SELECT COUNT(*) n FROM written'))[0]!['n']).toBeGreaterThan(0)
    expect(hammers.flatMap(({ errors }) => errors).filter((text) => !/1062|Duplicate/.test(text))).toEqual([])
  })

  test('single tables come back alone, and their keys lead where they led', async () => {
    const { bench, sql } = await openShop(user)
    const target = await bench.capture()
    const keys = () => sql('SHOW CREATE TABLE orders')
    const wanted = await keys()
    await sql('UPDATE customer SET name = UPPER(name); UPDATE orders SET customer = 7; DELETE FROM large')
    await bench.restore(target, undefined, ['customer'])
    expect((await sql(`SELECT name FROM customer WHERE id = 3`))[0]!['name']).toBe('c3')
    expect((await sql('SELECT COUNT(*) n FROM orders WHERE customer = 7'))[0]!['n']).toBe(200)
    expect((await sql('SELECT COUNT(*) n FROM large'))[0]!['n']).toBe(0)
    expect(await keys()).toEqual(wanted)
    await expect(sql('INSERT INTO orders (customer) VALUES (999)')).rejects.toThrow(/foreign key/)
    await bench.restore(target, undefined, ['orders'])
    expect((await sql('SELECT COUNT(*) n FROM orders WHERE customer = 7'))[0]!['n']).toBe(4)
    await expect(sql('DELETE FROM customer WHERE id = 7')).rejects.toThrow(/foreign key/)
    await expect(bench.stage(target, undefined, ['no such table'])).rejects.toMatchObject({ code: 'not-found' })
  })

  test('after a restore of one table, undo has what was written to the others until then', async () => {
    const { bench, sql } = await openShop(user)
    const target = await bench.capture()
    await sql('UPDATE customer SET name = UPPER(name)')
    const before = await bench.restore(target, async () => void (await sql('INSERT INTO written VALUES (5, NULL)')), [
      'customer',
    ])
    await bench.restore(before)
    expect(await sql('SELECT number FROM written')).toEqual([{ number: 5 }])
    expect((await sql('SELECT name FROM customer WHERE id = 3'))[0]!['name']).toBe('C3')
  })
})

test('a writer in a long transaction makes the swap give up, and nobody else wait', async () => {
  const { bench, server, sql, database, writer } = await openShop()
  const target = await bench.capture()
  await sql('UPDATE customer SET name = UPPER(name)')
  const staged = await bench.stage(target)
  const blocker = await server.connect(database)
  await blocker.query(`BEGIN; UPDATE customer SET name = 'mine' WHERE id = 1`)
  const other = await writer(`INSERT INTO orders (customer) VALUES (2 + ? % 20)`)
  const swap = await bench.swap(staged)
  await swap.prepare!()
  for (let attempt = 0; attempt < 5; attempt++) {
    await expect(swap.hold(20)).rejects.toMatchObject({ code: 'busy' })
    await swap.release()
    await pause(30)
  }
  await expect(swap.hold(20)).rejects.toThrow(/root@localhost.*has had a transaction open/)
  await blocker.query('ROLLBACK')
  await other.stop()
  expect(other.longestWaitMs()).toBeLessThan(1000)
  await blocker.end()
  await swap.discard()
  expect((await sql(`SELECT COUNT(*) n FROM customer WHERE BINARY name = BINARY UPPER(name)`))[0]!['n']).toBe(50)
  expect(await bench.leftOver()).toEqual([])
})
