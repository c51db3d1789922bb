import { readdirSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { KeySorter } from '../../src/services/redis/key-sorter.ts'
import { keysHeader, readRecord, recordLength, writeRecord } from '../../src/services/redis/records.ts'
import {
  createIndexSample,
  createServerSample,
  type IndexOptions,
  applicationRights as rights,
} from '../samples/redis.ts'
import { makeCertificates } from '../support/certificates.ts'
import { oddKeys } from '../support/odd-redis.ts'
import { redisServer, startRedis } from '../support/servers/redis.ts'
import { restoreId, ServiceBench } from '../support/service-bench.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const password = 'hunter2'

async function benchOf(options: IndexOptions = {}): Promise<ServiceBench> {
  return ServiceBench.open({ type: 'redis', create: () => createIndexSample(options) })
}

const without = (...names: string[]) => ({
  user: { name: 'less', password, rights: [...rights, ...names.map((name) => `-${name}`)] },
})

test('without the right to replicate, keys are read one by one, and the record says so', async () => {
  const bench = await benchOf(without('psync', 'replconf'))
  const full = await (await benchOf()).capture()
  const record = await bench.capture()
  expect(record).toMatchObject({ level: 'live', live: ['keys'] })
  expect(record.streams.map(({ content }) => content.sha256)).toEqual(full.streams.map(({ content }) => content.sha256))
  const wanted = await bench.live.fingerprint()
  await bench.live.change(1)
  await bench.restore(record)
  expect(await bench.live.fingerprint()).toBe(wanted)
  expect(await bench.probe()).toMatchObject({
    rung: 'live: read key by key while others write, since the server gives this user no dump of one moment',
    advice: 'ACL SETUSER <user> +psync +replconf',
  })
})

test('a user who finds out only at the point that he may not replicate gets a record of level live', async () => {
  const bench = await benchOf(without('psync'))
  expect(await bench.capture()).toMatchObject({ level: 'live', live: ['keys'] })
})

test('without the right to pause writers, the record is of one moment, but not of the common one', async () => {
  const bench = await benchOf(without('client|pause'))
  expect((await bench.capture()).level).toBe('point')
  expect((await bench.probe()).rung).toMatch(/^point: .* may not pause writers/)
})

test('who may not restore is told so by doctor, and by the restore before it has touched anything', async () => {
  const bench = await benchOf(without('swapdb'))
  expect(await bench.probe()).toMatchObject({
    warnings: ['this user may not restore: swapdb'],
    advice: 'ACL SETUSER <user> +swapdb',
  })
  const less = await benchOf(without('restore'))
  const record = await less.capture()
  const live = await less.live.fingerprint()
  await expect(less.stage(record, record)).rejects.toMatchObject({ code: 'unavailable' })
  expect(await less.live.fingerprint()).toBe(live)
  expect(await less.leftOver()).toEqual([])
})

test('a wrong password is named without the password', async () => {
  const server = await redisServer()
  const live = await createIndexSample()
  const config = { url: server.url(3, 'nobody', 'secret/word'), spare: 15 }
  const bench = await ServiceBench.open({ type: 'redis', create: async () => ({ ...live, config }) })
  const error = await bench.capture().catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({
    code: 'unavailable',
    message: 'sample: the server does not let nobody in: user or password is wrong',
  })
  expect(JSON.stringify(error)).not.toContain('secret')
  expect((await bench.service()).place).not.toContain('secret')
})

test('everything goes through a command prefix too', async () => {
  const live = await createIndexSample()
  const create = async () => ({ ...live, config: { ...live.config, run: ['env'] }, context: { allowed: true } })
  const bench = await ServiceBench.open({ type: 'redis', create })
  const target = await bench.capture()
  expect(target.level).toBe('frozen')
  const wanted = await bench.live.fingerprint()
  await bench.live.change(1)
  const replaced = await bench.live.fingerprint()
  const before = await bench.restore(target)
  expect(await bench.live.fingerprint()).toBe(wanted)
  await bench.restore(before)
  expect(await bench.live.fingerprint()).toBe(replaced)
})

test('TLS: the certificate is checked', async () => {
  const file = await makeCertificates('server', 'other')
  const port = await freePort()
  const tls = ['--tls-port', `${port}`, '--tls-cert-file', file('server.pem'), '--tls-key-file', file('server.key')]
  const server = await startRedis({
    settings: [...tls, '--tls-ca-cert-file', file('server.pem'), '--tls-auth-clients', 'no'],
  })
  onTestFinished(() => server.stop())
  const live = await createIndexSample({ server })
  const open = (ca: string) => {
    const config = { url: `rediss://localhost:${port}/3${ca}`, spare: 15 }
    return ServiceBench.open({ type: 'redis', create: async () => ({ ...live, config }) })
  }
  const bench = await open(`?sslCa=${encodeURIComponent(file('server.pem'))}`)
  expect((await bench.capture()).level).toBe('frozen')
  for (const ca of ['', `?sslCa=${encodeURIComponent(file('other.pem'))}`]) {
    await expect((await open(ca)).capture()).rejects.toMatchObject({ code: 'unavailable', message: /certificate/ })
  }
})

test('a replica is captured at a point, and refused as a target', async () => {
  const port = await freePort()
  const master = await startRedis({
    settings: ['--port', `${port}`, '--bind', '127.0.0.1', '--repl-diskless-sync-delay', '0'],
  })
  const replica = await startRedis()
  onTestFinished(() => [master, replica].forEach((each) => void each.stop()))
  const live = await createIndexSample({ server: master })
  await replica.run(0, ['REPLICAOF', '127.0.0.1', port])
  while (!/master_link_status:up/.test(replica.cli('INFO', 'replication')))
    await new Promise((done) => setTimeout(done, 50))
  const config = { url: replica.url(3), spare: 15 }
  const bench = await ServiceBench.open({ type: 'redis', create: async () => ({ ...live, config }) })
  const record = await bench.capture()
  expect(record.level).toBe('point')
  await expect(bench.stage(record, record)).rejects.toMatchObject({ code: 'refused', message: /is a replica/ })
  expect(await bench.probe()).toMatchObject({ warnings: ['the server is a replica: nothing can be restored into it'] })
})

test('one git-env at a time works on an index, its spare, or the whole server', async () => {
  const server = await redisServer()
  const live = await createIndexSample()
  const open = async (config: Record<string, unknown>) => {
    const bench = await ServiceBench.open({ type: 'redis', create: async () => ({ ...live, config }) })
    return bench.service()
  }
  const first = await (await open({ url: server.url(3), spare: 15 })).reserve!()
  for (const config of [
    { url: server.url(3) },
    { url: server.url(4), spare: 15 },
    { url: server.url(15) },
    { url: server.url() },
  ]) {
    await expect((await open(config)).reserve!()).rejects.toMatchObject({
      code: 'busy',
      message: /^another git-env works on/,
    })
  }
  const beside = await (await open({ url: server.url(4), spare: 14 })).reserve!()
  await first.release()
  await beside.release()
  let again = await open({ url: server.url() })
  for (let tries = 0; ; tries++) {
    try {
      await (await again.reserve!()).release()
      break
    } catch (error) {
      if (tries > 100) throw error
      await new Promise((done) => setTimeout(done, 10))
      again = await open({ url: server.url() })
    }
  }
})

test('what a killed staging left is swept by its own id alone; another restore names it', async () => {
  const server = await redisServer()
  const bench = await benchOf()
  const record = await bench.capture()
  const left = '01j99999999999999999999999'
  await server.run(15, ['SET', `git-env:restore:${left}`, 'staging'], ['SET', 'a key', 1])
  await expect(bench.stage(record, record)).rejects.toMatchObject({ code: 'refused', hint: new RegExp(left) })
  await (await bench.service()).sweep(restoreId)
  expect(await server.run(15, ['DBSIZE'])).toBe(2)
  await (await bench.service()).sweep(left)
  expect(await server.run(15, ['DBSIZE'])).toBe(0)
})

test('what a whole server keeps in functions alone is restored too', async () => {
  const server = await startRedis()
  onTestFinished(() => server.stop())
  const bench = await ServiceBench.open({ type: 'redis', create: () => createServerSample(server) })
  await server.run(0, ['FLUSHALL'])
  const target = await bench.capture()
  const wanted = await bench.live.fingerprint()
  await bench.live.remove()
  expect((await bench.probe()).presence).toBe('absent')
  await bench.restore(target)
  expect(await bench.live.fingerprint()).toBe(wanted)
})

test('what is of one index does not go into a whole server, nor the other way', async () => {
  const server = await redisServer()
  const bench = await benchOf()
  const record = await bench.capture()
  const whole = await ServiceBench.open({
    type: 'redis',
    create: async () => ({ ...bench.live, config: { url: server.url() } }),
  })
  const all = await whole.capture()
  await expect(whole.stage(record, all)).rejects.toMatchObject({ code: 'refused' })
  await expect(bench.stage(all, record)).rejects.toMatchObject({ code: 'refused' })
})

test('an index goes into an index of another number', async () => {
  const server = await redisServer()
  const bench = await benchOf()
  const record = await bench.capture()
  const wanted = await bench.live.fingerprint()
  const elsewhere = await ServiceBench.open({
    type: 'redis',
    create: async () => ({ ...bench.live, config: { url: server.url(6), spare: 15 } }),
  })
  const absent = await elsewhere.capture()
  const service = await elsewhere.service()
  const staged = await service.stage(record, absent, { source: bench.content, id: restoreId, progress() {} })
  const swap = service.swap(staged)
  await elsewhere.finish(swap)
  await swap.discard()
  await server.run(6, ['SWAPDB', 3, 6])
  expect(await bench.live.fingerprint()).toBe(wanted)
})

test('two services of one server take the same point', async () => {
  const server = await redisServer()
  const live = await createIndexSample()
  const open = (index: number) =>
    ServiceBench.open({ type: 'redis', create: async () => ({ ...live, config: { url: server.url(index) } }) })
  const benches = [await open(3), await open(5)]
  const alone = [await benches[0]!.capture(), await benches[1]!.capture()]
  const captures = await Promise.all(
    benches.map(async (bench) =>
      (await bench.service()).capture(bench.content, { damage: 'keep', live: false, progress() {} }),
    ),
  )
  await Promise.all(captures.map((capture) => capture.hold(2000)))
  await Promise.all(captures.map((capture) => capture.point()))
  await Promise.all(captures.map((capture) => capture.release()))
  const records = await Promise.all(captures.map((capture) => capture.copy()))
  for (const capture of captures) await capture.close()
  expect(records.map(({ level }) => level)).toEqual(['frozen', 'frozen'])
  expect(records.map(({ streams }) => streams)).toEqual(alone.map(({ streams }) => streams))
})

test('a url without a number for an index is refused', async () => {
  const live = await createIndexSample()
  const create = async () => ({ ...live, config: { url: 'redis://127.0.0.1/shop' } })
  await expect(ServiceBench.open({ type: 'redis', create }).then((bench) => bench.service())).rejects.toMatchObject({
    code: 'usage',
    message: 'sample: "shop" is no index',
  })
})

test('a server in cluster mode is refused, and doctor says so', async () => {
  const server = await startRedis({
    settings: ['--cluster-enabled', 'yes', '--port', `${await freePort()}`, '--bind', '127.0.0.1'],
  })
  onTestFinished(() => server.stop())
  const live = await createIndexSample()
  const create = async () => ({ ...live, config: { url: server.url(0) } })
  const bench = await ServiceBench.open({ type: 'redis', create })
  await expect(bench.capture()).rejects.toMatchObject({ code: 'refused', message: /node of a cluster/ })
  expect((await bench.probe()).warnings[0]).toMatch(/node of a cluster/)
})

test('any number of keys comes out in the order of their bytes, the last of equal ones, with and without files', async () => {
  const directory = await temporaryDirectory()
  const record = fc.record({
    key: fc.uint8Array({ maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
    value: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(record, { maxLength: 60 }),
      fc.constantFrom(1, 150, 1 << 20),
      async (records, longestRun) => {
        const sorter = new KeySorter(directory, longestRun)
        for (const { key, value } of records) sorter.add({ key, expires: -1, type: 0, value })
        const parts: Buffer[] = []
        for await (const part of sorter.sorted()) parts.push(Buffer.from(part))
        const last = new Map(records.map(({ key, value }) => [key.toString('latin1'), { key, value }]))
        const wanted = [...last.values()].sort((a, b) => Buffer.compare(a.key, b.key))
        const bytes = Buffer.concat([
          keysHeader,
          ...wanted.map(({ key, value }) => {
            const each = Buffer.alloc(recordLength(key, value))
            writeRecord(each, 0, { key, expires: -1, type: 0, value })
            expect(readRecord(each)).toEqual({ key, expires: -1, type: 0, value })
            return each
          }),
        ])
        expect(Buffer.concat(parts)).toEqual(bytes)
        expect(sorter.count).toBe(wanted.length)
        sorter.close()
      },
    ),
    { numRuns: 60 },
  )
  expect(readdirSync(directory)).toEqual([])
})

test('small and large collections with the same elements are stored alike, whatever order they were filled in', async () => {
  const server = await redisServer()
  const bench = await benchOf()
  const first = await bench.capture()
  await server.run(3, ['FLUSHDB'], ...oddKeys().filter(([command]) => !String(command).startsWith('X')))
  const numbers = Array.from({ length: 700 }, (_, nr) => nr).reverse()
  await server.run(
    3,
    ['DEL', 'large set', 'large hash'],
    ['SADD', 'large set', ...numbers.map((nr) => `member ${nr}`)],
    ['HSET', 'large hash', ...numbers.flatMap((nr) => [`field ${nr}`, `value ${nr}`])],
    ['CONFIG', 'SET', 'set-max-intset-entries', 0],
    ['CONFIG', 'SET', 'hash-max-listpack-entries', 0],
    ['CONFIG', 'SET', 'zset-max-listpack-entries', 0],
  )
  await server.run(3, ['COPY', 'set of numbers', 'again'], ['DEL', 'set of numbers', 'again', 'hash', 'sorted'])
  const again = oddKeys().filter(([, key]) => ['set of numbers', 'hash', 'sorted'].includes(String(key)))
  await server.run(3, ...again, ['PEXPIREAT', 'large hash', 4_102_444_800_124])
  const second = await bench.capture()
  for (const [name, value] of [
    ['set-max-intset-entries', 512],
    ['hash-max-listpack-entries', 128],
    ['zset-max-listpack-entries', 128],
  ] as const)
    await server.run(0, ['CONFIG', 'SET', name, value])
  const keysOf = async (record: typeof first) => {
    const parts: Buffer[] = []
    for await (const part of bench.content.read(record.streams[0]!.content)) parts.push(Buffer.from(part))
    const found = new Map<string, string>()
    const bytes = Buffer.concat(parts)
    for (let at = keysHeader.length; at < bytes.length; at += 4 + bytes.readUInt32BE(at)) {
      const { key, value, expires, type } = readRecord(bytes.subarray(at, at + 4 + bytes.readUInt32BE(at)))
      found.set(key.toString('latin1'), `${type} ${expires} ${value.toString('base64')}`)
    }
    return found
  }
  const [a, b] = [await keysOf(first), await keysOf(second)]
  const different = [...a.keys()].filter((key) => b.has(key) && a.get(key) !== b.get(key))
  expect(different).toEqual([])
  expect([...a.keys()].filter((key) => !b.has(key))).toEqual(['emptied stream', 'events'])
})

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
