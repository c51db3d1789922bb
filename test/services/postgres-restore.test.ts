import { describe, expect, test } from 'vitest'
import { EnvError } from '../../src/domain/errors.ts'
import { createApplicationSample, createPostgresSample, quoted } from '../samples/postgres.ts'
import { startPostgresWriter } from '../support/postgres-writer.ts'
import { sharedPostgres } from '../support/servers/postgres.ts'
import { restoreId, ServiceBench } from '../support/service-bench.ts'

async function openBench(create = () => createPostgresSample('stay')) {
  const bench = await ServiceBench.open({ type: 'postgres', create })
  const server = await sharedPostgres()
  const url = new URL(String(bench.live.config['url']))
  const database = decodeURIComponent(url.pathname.slice(1))
  return { bench, server, database, run: (...statements: string[]) => server.run(database, ...statements) }
}

describe('rows within the live database', () => {
  test('a table that was equal when staged and is written to until the swap is set back, and undo has its rows', async () => {
    const { bench, server, database, run } = await openBench()
    // The writer's own looking for its table would be written down by this.
    await run('DROP EVENT TRIGGER noted_ddl', 'CREATE TABLE public.written (number integer PRIMARY KEY, text text)')
    const target = await bench.capture()
    await bench.live.change(3)
    const safety = await bench.capture()
    const staged = await bench.stage(target, safety)
    expect(staged.way).toBe('in place')
    await run(
      `UPDATE public.base SET v = 'late'`,
      `DELETE FROM public.derived WHERE id = 2`,
      `SELECT nextval('public.counter')`,
    )
    const writer = await startPostgresWriter({ host: server.socketFolder, user: 'postgres', database })
    while (writer.acknowledged().length < 20) await new Promise((resolve) => setTimeout(resolve, 5))
    const swap = await bench.swap(staged)
    await swap.prepare?.()
    await bench.finish(swap)
    const before = await swap.before(bench.content, safety)
    await swap.discard()
    const acknowledged = await writer.stop()
    expect(writer.errors).toEqual([])
    const after = await bench.live.written!()
    const now = await bench.capture()
    const rest = (record: typeof now) => record.objects.filter(({ name }) => name !== 'public.written')
    expect(rest(now)).toEqual(rest(target))
    await bench.restore(before)
    const union = new Set([...(await bench.live.written!()), ...after])
    expect(acknowledged.filter((number) => !union.has(number))).toEqual([])
    expect(server.tool('psql', ['-XAt', '-d', database, '-c', 'SELECT v FROM public.base ORDER BY 1'])).toBe(
      'late\nlate\n',
    )
  })

  test('a large table that is written to meanwhile is not copied while its writers wait: the database is exchanged', async () => {
    const { bench, run } = await openBench()
    await run(
      `CREATE TABLE public.hot AS SELECT g AS id, repeat(md5(g::text), 4) AS text FROM generate_series(1, 150000) g`,
    )
    const target = await bench.capture()
    await run(`UPDATE public.hot SET text = 'changed' WHERE id < 10`)
    const safety = await bench.capture()
    expect(await bench.stage(target, safety)).toMatchObject({ way: 'in place' })
    await run(`UPDATE public.hot SET text = 'written since' WHERE id = 11`)
    expect(await bench.stage(target, safety)).toMatchObject({ way: 'rename' })
    await (await bench.service()).sweep(restoreId)
  })

  test('one table alone is brought back, where its foreign keys allow it', async () => {
    const { bench, server, database, run } = await openBench()
    const target = await bench.capture()
    const names = target.objects.map(({ name }) => name)
    await run(`DELETE FROM public.keyed WHERE b < 50`, `UPDATE public.base SET v = 'stays'`)
    await bench.restore(target, undefined, ['public.keyed'])
    const now = await bench.capture()
    const digests = (record: typeof now, name: string) => record.objects.find((object) => object.name === name)?.digest
    expect(names.filter((name) => digests(now, name) !== digests(target, name))).toEqual([
      'public.base',
      'public.derived',
    ])
    expect(server.tool('psql', ['-XAt', '-d', database, '-c', 'SELECT count(*) FROM public.keyed'])).toBe('300\n')
  })

  test('a definition that changes between staging and swap refuses the swap, and nothing is changed', async () => {
    const { bench, run } = await openBench()
    const target = await bench.capture()
    await bench.live.change(4)
    const staged = await bench.stage(target)
    await run('DROP PROCEDURE public.nothing()')
    const replaced = await bench.live.fingerprint()
    const swap = await bench.swap(staged)
    await expect(bench.finish(swap)).rejects.toThrow('definitions were changed since')
    await swap.release()
    await swap.discard()
    expect(await bench.live.fingerprint()).toBe(replaced)
  })
})

describe('what stands in the way', () => {
  test('an open write is named, within the attempt, and nobody waits afterwards', async () => {
    const { bench, server, database, run } = await openBench()
    const blocker = await server.connect(database)
    await blocker.query(`BEGIN; UPDATE public.base SET v = 'open' WHERE id = 1`)
    const capture = await (await bench.service()).capture(bench.content, { damage: 'keep', live: false, progress() {} })
    const started = performance.now()
    await expect(capture.hold(20)).rejects.toMatchObject({
      code: 'busy',
      message: expect.stringMatching(/postgres \(process \d+\) has a transaction open for .*UPDATE public\.base/),
    })
    expect(performance.now() - started).toBeLessThan(1000)
    await run(`UPDATE public.keyed SET v = 'at once' WHERE b = 1`)
    await blocker.query('COMMIT')
    await capture.hold(2000)
    await capture.close()
    await blocker.end()
  })

  test('a user who may make no database is told what would help', async () => {
    const { bench, run } = await openBench(createApplicationSample)
    const target = await bench.capture()
    await run('DROP TABLE public.keyed')
    const refused: unknown = await bench.stage(target).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(EnvError)
    expect(refused).toMatchObject({
      code: 'refused',
      hint: expect.stringContaining('CREATEDB'),
      message: expect.stringContaining('may not create databases'),
    })
    expect(String((refused as EnvError).message)).not.toContain('p@ss')
  })

  test('what undo could not make again is not taken away', async () => {
    const { bench, database, server } = await openBench(createApplicationSample)
    const user = 'app "user"'
    await server.run(
      'postgres',
      `ALTER ROLE ${quoted(user)} CREATEDB`,
      `ALTER DATABASE ${quoted(database)} OWNER TO ${quoted(user)}`,
    )
    const without = await bench.capture()
    await server.run(database, 'CREATE VIEW public.of_postgres AS SELECT 1 AS one')
    const before = await bench.live.fingerprint()
    await expect(bench.restore(without)).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringMatching(
        /must be member of role "postgres".*; so undo could not bring back what is there now/s,
      ),
    })
    expect(await bench.live.fingerprint()).toBe(before)
    expect(await bench.leftOver()).toEqual([])
    await server.run('postgres', `ALTER ROLE ${quoted(user)} NOCREATEDB`)
  })

  test('rows come back all the same where they alone differ, also of a large table that is written to', async () => {
    const { bench, database, server } = await openBench(createApplicationSample)
    const user = 'app "user"'
    await server.run(
      'postgres',
      `ALTER ROLE ${quoted(user)} CREATEDB`,
      `ALTER DATABASE ${quoted(database)} OWNER TO ${quoted(user)}`,
    )
    await server.run(
      database,
      'CREATE VIEW public.of_postgres AS SELECT 1 AS one',
      `CREATE TABLE public.hot AS SELECT g AS id, repeat(md5(g::text), 4) AS text FROM generate_series(1, 150000) g`,
      `ALTER TABLE public.hot OWNER TO ${quoted(user)}`,
    )
    const target = await bench.capture()
    const wanted = await bench.live.fingerprint()
    await server.run(database, `UPDATE public.hot SET text = 'changed' WHERE id < 10`)
    const safety = await bench.capture()
    await server.run(database, `UPDATE public.hot SET text = 'written since' WHERE id = 11`)
    const staged = await bench.stage(target, safety)
    expect(staged).toMatchObject({ way: 'in place' })
    const swap = await bench.swap(staged)
    await bench.finish(swap)
    await swap.discard()
    expect(await bench.live.fingerprint()).toBe(wanted)
    await server.run('postgres', `ALTER ROLE ${quoted(user)} NOCREATEDB`)
  })

  test('a second git-env is told who has the database; the marker is where dumps do not show it', async () => {
    const { bench, database } = await openBench()
    const [one, two] = [await bench.service(), await bench.service()]
    const before = await bench.live.fingerprint()
    const reservation = await one.reserve!()
    await expect(two.reserve!()).rejects.toMatchObject({
      code: 'busy',
      message: expect.stringMatching(/another git-env is at work on .*git-env on .*since/),
    })
    await reservation.release()
    await (await two.reserve!()).release()
    expect(await one.marker!()).toBeUndefined()
    await one.setMarker!({ ref: 'refs/heads/main' })
    expect(await two.marker!()).toEqual({ ref: 'refs/heads/main' })
    expect((await bench.capture()).streams.find(({ name }) => name === 'schema')).toBeDefined()
    expect(
      (await bench.live.fingerprint())
        .split('\n')
        .filter((line) => !line.includes('git_env.marker'))
        .join('\n'),
    ).toBe(before)
    expect(quoted(database)).toContain('shop')
  })
})

test('behind a command the same server is reached by the same protocol, pg_dump too', async () => {
  const { bench } = await openBench(() => createPostgresSample('change too'))
  Object.assign(bench.live, {
    config: { ...bench.live.config, run: ['env', 'WHERE=there'] },
    context: { allowed: true },
  })
  const target = await bench.capture()
  const wanted = await bench.live.fingerprint()
  await bench.live.change(1)
  await bench.restore(target)
  expect(await bench.live.fingerprint()).toBe(wanted)
  expect((await bench.service()).place).toContain('(by env WHERE=there)')
})
