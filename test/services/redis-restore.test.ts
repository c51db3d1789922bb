import { execFileSync } from 'node:child_process'
import { expect, onTestFinished, test } from 'vitest'
import type { ContentSource } from '../../src/domain/content.ts'
import type { Connection, Word } from '../../src/services/redis/connection.ts'
import type { DriverSample, LiveSample } from '../contract/service-driver.ts'
import { createIndexSample, createServerSample } from '../samples/redis.ts'
import { library } from '../support/odd-redis.ts'
import { indexContent, serverContent } from '../support/redis-content.ts'
import { startRedisWriter } from '../support/redis-writer.ts'
import { until } from '../support/running.ts'
import { type RedisOptions, type RedisServer, redisServer, startRedis } from '../support/servers/redis.ts'
import { restoreId, ServiceBench } from '../support/service-bench.ts'

type Scope = 'index' | 'server'

async function ownServer(options: RedisOptions = {}): Promise<RedisServer> {
  const server = await startRedis(options)
  onTestFinished(() => server.stop())
  return server
}

function sampleOf(scope: Scope, server: RedisServer): DriverSample {
  const create = () => (scope === 'index' ? createIndexSample({ server }) : createServerSample(server))
  return { type: 'redis', create }
}

async function connectionTo(server: RedisServer): Promise<Connection> {
  const connection = await server.connect()
  onTestFinished(() => connection.destroy())
  return connection
}

/** The sample's own connection ends with the server. */
async function contentOf(scope: Scope, server: RedisServer): Promise<string> {
  const connection = await server.connect()
  try {
    return await (scope === 'index' ? indexContent(connection, 3) : serverContent(connection, () => true))
  } finally {
    connection.destroy()
  }
}

async function twoStates(bench: ServiceBench) {
  const target = await bench.capture()
  const wanted = await bench.live.fingerprint()
  await bench.live.change(1)
  return { target, wanted, replaced: await bench.live.fingerprint() }
}

const persistence = {
  'dumps to disk': ['--save', '3600 1', '--appendonly', 'no'],
  'an append-only file': ['--save', '', '--appendonly', 'yes'],
  'an append-only file without a preamble': ['--save', '', '--appendonly', 'yes', '--aof-use-rdb-preamble', 'no'],
}

for (const [kind, settings] of Object.entries(persistence)) {
  for (const scope of ['index', 'server'] as const) {
    test(`with ${kind}, what was restored into the ${scope} is there after the server was killed`, async () => {
      const server = await ownServer({ settings })
      const bench = await ServiceBench.open(sampleOf(scope, server))
      const { target, wanted, replaced } = await twoStates(bench)
      const before = await bench.restore(target)
      await server.restart('SIGKILL')
      expect(await contentOf(scope, server)).toBe(wanted)
      await bench.restore(before)
      await server.restart('SIGKILL')
      expect(await contentOf(scope, server)).toBe(replaced)
    })
  }
}

test('a server that was restarted gives the same bytes, although it keeps its tables in another order', async () => {
  const server = await ownServer({ settings: persistence['dumps to disk'] })
  const bench = await ServiceBench.open(sampleOf('server', server))
  const first = await bench.capture()
  await server.restart('SIGTERM')
  expect((await bench.capture()).streams).toEqual(first.streams)
})

test('a server that is killed before the swap is saved loses it, and another process finishes it', async () => {
  const server = await ownServer({ settings: persistence['dumps to disk'] })
  const bench = await ServiceBench.open(sampleOf('index', server))
  const { target, wanted, replaced } = await twoStates(bench)
  const safety = await bench.capture()
  const staged = await bench.stage(target, safety)
  const swap = await bench.swap(staged)
  await bench.finish(swap)
  await server.restart('SIGKILL')
  expect(await contentOf('index', server)).toBe(replaced)
  const again = await bench.swap(staged)
  expect(await again.inspect()).toBe('before')
  await bench.finish(again)
  expect(await contentOf('index', server)).toBe(wanted)
  await bench.restore(await again.before(bench.content, safety).finally(() => again.discard()))
  expect(await contentOf('index', server)).toBe(replaced)
})

test('a server that is killed while keys are staged keeps its data, and nothing of ours stays', async () => {
  const server = await ownServer({ settings: persistence['dumps to disk'] })
  const bench = await ServiceBench.open(sampleOf('index', server))
  const { target, replaced } = await twoStates(bench)
  const live = await bench.capture()
  await server.run(0, ['SAVE'])
  let isKilled: Promise<void> | undefined
  const source: ContentSource = {
    async *read(content) {
      for await (const part of bench.content.read(content)) {
        yield part
        const connection = await server.connect(15).catch(() => undefined)
        const staged = connection ? Number(await connection.run('DBSIZE')) : 0
        connection?.destroy()
        if (staged > 0) isKilled ??= server.restart('SIGKILL')
        await isKilled
      }
    },
  }
  const service = await bench.service()
  const options = { source, id: restoreId, progress() {} }
  await expect(service.stage(target, live, options)).rejects.toMatchObject({ code: 'unavailable' })
  await isKilled
  expect(await contentOf('index', server)).toBe(replaced)
  await (await bench.service()).sweep(restoreId)
  const connection = await connectionTo(server)
  await connection.run('SELECT', 15)
  expect(await connection.run('DBSIZE')).toBe(0)
})

test('what was staged and is gone is named, and nothing is swapped', async () => {
  const server = await ownServer()
  const bench = await ServiceBench.open(sampleOf('index', server))
  const { target, replaced } = await twoStates(bench)
  const swap = await bench.swap(await bench.stage(target))
  await server.run(15, ['FLUSHDB'])
  await swap.hold(2000)
  await expect(swap.forward()).rejects.toMatchObject({
    code: 'damaged',
    message: 'sample: what was staged is not in index 15 any more',
  })
  await swap.release()
  expect(await swap.inspect()).toBe('before')
  expect(await bench.live.fingerprint()).toBe(replaced)
})

test('one wrong byte in what is stored is found before the server is given anything', async () => {
  const bench = await ServiceBench.open(sampleOf('index', await redisServer()))
  const { target, replaced } = await twoStates(bench)
  const live = await bench.capture()
  const connection = await connectionTo(await redisServer())
  const { bytes } = target.streams[0]!.content
  for (const at of [3, 30, 200, Math.floor(bytes / 2), bytes - 1]) {
    const source: ContentSource = {
      async *read(content) {
        let from = 0
        for await (const part of bench.content.read(content)) {
          const copy = Buffer.from(part)
          if (at >= from && at < from + copy.length) copy[at - from]! ^= 0x10
          from += copy.length
          yield copy
        }
      },
    }
    await connection.run('CONFIG', 'RESETSTAT')
    const service = await bench.service()
    const stage = service.stage(target, live, { source, id: restoreId, progress() {} })
    await expect(stage, `byte ${at}`).rejects.toMatchObject({ code: at === 3 ? 'refused' : 'damaged' })
    expect(String(await connection.run('INFO', 'commandstats'))).not.toContain('cmdstat_restore')
  }
  expect(await bench.live.fingerprint()).toBe(replaced)
  expect(await bench.leftOver()).toEqual([])
})

test('some keys alone: those that begin so, and one by its name; all others stay as they are, however late they came', async () => {
  const server = await redisServer()
  const bench = await ServiceBench.open(sampleOf('index', server))
  const keys: Word[][] = [
    ['SET', 'cache:a', 1],
    ['SET', 'cache:b', 2, 'PXAT', 4_102_444_800_000],
    ['SET', 'cache?c', 3],
    ['SET', 'cache[', 4],
    ['SET', 'one', 5],
    ['SET', 'one more', 6],
  ]
  await server.run(3, ...keys)
  const target = await bench.capture()
  await server.run(
    3,
    ['SET', 'cache:a', 'x'],
    ['DEL', 'cache:b'],
    ['SET', 'cache:new', 'x'],
    ['SET', 'one', 'x'],
    ['SET', 'one more', 'x'],
  )
  const replaced = await bench.live.fingerprint()
  const safety = await bench.capture()
  const swap = await bench.swap(await bench.stage(target, safety, ['cache:*', 'one', 'cache[*']))
  await server.run(3, ['SET', 'late', 'x'], ['SET', 'cache:late', 'x'])
  await bench.finish(swap)
  const values = await server.run(3, [
    'MGET',
    'cache:a',
    'cache:b',
    'cache:new',
    'cache:late',
    'one',
    'one more',
    'late',
    'cache[',
  ])
  expect((values as (Buffer | null)[]).map((value) => value && String(value))).toEqual([
    '1',
    '2',
    null,
    null,
    '5',
    'x',
    'x',
    '4',
  ])
  expect(await server.run(3, ['PEXPIRETIME', 'cache:b'])).toBe(4_102_444_800_000)
  await swap.back()
  await server.run(3, ['DEL', 'late', 'cache:late'])
  expect(await bench.live.fingerprint()).toBe(replaced)
  await bench.finish(swap)
  const before = await swap.before(bench.content, safety)
  await swap.discard()
  await bench.restore(before)
  expect(await bench.live.fingerprint()).toBe(replaced)
  expect(await bench.leftOver()).toEqual([])
})

test('what --only cannot mean is refused', async () => {
  const bench = await ServiceBench.open(sampleOf('index', await redisServer()))
  const target = await bench.capture()
  for (const item of ['*', 'a*b', '']) {
    await expect(bench.stage(target, target, [item])).rejects.toMatchObject({ code: 'usage' })
  }
  await expect(bench.stage(target, target, ['text', 'misspelt*'])).rejects.toMatchObject({
    code: 'not-found',
    message: 'the snapshot holds no "misspelt*" in sample',
  })
  const whole = await ServiceBench.open(sampleOf('server', await redisServer()))
  const all = await whole.capture()
  await expect(whole.stage(all, all, ['a*'])).rejects.toMatchObject({ code: 'usage' })
})

test('writers get no error from a snapshot and a restore, and wait a moment', async () => {
  const server = await redisServer()
  const bench = await ServiceBench.open(sampleOf('index', server))
  const { target } = await twoStates(bench)
  const writer = await startRedisWriter({ socketPath: server.socketPath, index: 3 })
  for (let round = 0; round < 2; round++) {
    await bench.restore(target)
    const goesOn = writer.acknowledged().length + 20
    await until(() => writer.acknowledged().length > goesOn || undefined, 'the writer')
  }
  await writer.stop()
  expect(writer.errors).toEqual([])
  expect(writer.longestWaitMs()).toBeLessThan(1000)
})

test('the functions of a server that came after the restore was prepared are in what before gives', async () => {
  const server = await ownServer()
  const bench = await ServiceBench.open(sampleOf('server', server))
  const { target, wanted } = await twoStates(bench)
  const safety = await bench.capture()
  const swap = await bench.swap(await bench.stage(target, safety))
  await server.run(0, ['FUNCTION', 'LOAD', library('late', 7)], ['SET', 'late', 'key'])
  const late = await bench.live.fingerprint()
  await bench.finish(swap)
  expect(await bench.live.fingerprint()).toBe(wanted)
  expect(await server.run(0, ['FCALL', 'one_answer', 0])).toBe(1)
  const before = await swap.before(bench.content, safety)
  await swap.discard()
  await bench.restore(before)
  expect(await bench.live.fingerprint()).toBe(late)
  expect(await server.run(0, ['FCALL', 'late_answer', 0])).toBe(7)
})

test('an index that gets its first keys after the restore was prepared keeps it from being swapped', async () => {
  const server = await ownServer()
  const bench = await ServiceBench.open(sampleOf('server', server))
  const { target } = await twoStates(bench)
  const swap = await bench.swap(await bench.stage(target))
  await server.run(7, ['SET', 'late', 'key'])
  await swap.hold(2000)
  await expect(swap.lastCapture()).rejects.toMatchObject({ code: 'refused', message: /index 7 got its first keys/ })
  await expect(swap.forward()).rejects.toMatchObject({ code: 'refused' })
  await swap.release()
  expect(await swap.inspect()).toBe('before')
  await swap.discard()
})

test('a spare that is missing, used, or not there is refused with what to do', async () => {
  const server = await redisServer()
  const live = await createIndexSample()
  const open = async (config: LiveSample['config']) => {
    const bench = await ServiceBench.open({ type: 'redis', create: async () => ({ ...live, config }) })
    const record = await bench.capture()
    return bench.stage(record, record)
  }
  const { url } = live.config as { url: string }
  await expect(open({ url })).rejects.toMatchObject({ code: 'refused', hint: /spare: 15/ })
  await expect(open({ url, spare: 5 })).rejects.toMatchObject({ code: 'refused', message: /index 5, .* is not empty/ })
  await expect(open({ url, spare: 99 })).rejects.toMatchObject({ code: 'usage', message: /no index 99/ })
  await expect(open({ url, spare: 3 })).rejects.toMatchObject({ code: 'usage' })
  await expect(open({ url: server.url(), spare: 3 })).rejects.toMatchObject({ code: 'usage' })
})

test('a server without room for both is refused before anything is loaded, and throws no key of others away', async () => {
  const server = await ownServer()
  const bench = await ServiceBench.open(sampleOf('index', server))
  await server.run(3, ['SET', 'large', 'x'.repeat(6_000_000)])
  const target = await bench.capture()
  const used = Number(/used_memory:(\d+)/.exec(server.cli('INFO', 'memory'))![1])
  await server.run(
    0,
    ['CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru'],
    ['CONFIG', 'SET', 'maxmemory', used + 4_000_000],
  )
  await expect(bench.stage(target, target)).rejects.toMatchObject({ code: 'refused', hint: /CONFIG SET maxmemory/ })
  expect(server.cli('INFO', 'stats')).toContain('evicted_keys:0')
})

test('what the export holds is right in the eyes of the checker that comes with the server', async () => {
  const { findProgram } = await import('../support/servers/install.ts')
  const { temporaryDirectory } = await import('../support/temporary.ts')
  const { loadDriver } = await import('../../src/services/registry.ts')
  const bench = await ServiceBench.open(sampleOf('server', await redisServer()))
  const directory = await temporaryDirectory()
  const [exported] = await (await loadDriver('redis')).export(await bench.capture(), bench.content, directory)
  const checker = findProgram('redis-check-rdb', 'redis-tools')
  const said = execFileSync(checker, [`${directory}/${exported!.path}`], { encoding: 'utf8' })
  expect(said).toContain('Checksum OK')
})
