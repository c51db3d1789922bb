import { rmSync } from 'node:fs'
import { hostname } from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import mongodb from '../../src/services/mongodb.ts'
import type { Service } from '../../src/services/service-driver.ts'
import { createMongoSample } from '../samples/mongodb.ts'
import { database } from '../support/odd-mongodb.ts'
import { encode, fieldsOf } from '../support/servers/mongodb/bson.ts'
import { ServiceBench } from '../support/service-bench.ts'

const password = `p@ss/w:o"r'd\\ %41 \u00e4#?&$(x)`

/** A server, the bench around it, and services of it with more in their configuration or surroundings. */
async function open() {
  const live = await createMongoSample()
  const { server } = live
  const bench = await ServiceBench.open({ type: 'mongodb', create: async () => live })
  const serviceWith = (config: Record<string, unknown>, trace: (step: string) => void = () => {}): Promise<Service> =>
    mongodb.open(
      { ...(live.config as { url: string }), ...config },
      {
        ...bench.context,
        foreign: new Set<string>(),
        variable: (name: string) => (name === 'PASSWORD' ? password : undefined),
        commands: { environment: {}, secrets: [] },
        trace,
        signal: new AbortController().signal,
      },
    )
  return { live, server, bench, serviceWith }
}

test('a record has the documents of each collection, and all definitions', async () => {
  const { bench } = await open()
  const record = await bench.capture()
  expect(record.objects.map(({ name, kind, rows }) => `${name} ${kind} ${rows}`)).toEqual([
    '$definitions definitions 0',
    '-odd $(name) "quoted" é documents 2',
    'empty documents 0',
    'log documents 30',
    'orders documents 131',
  ])
  expect(record.live).toEqual(record.streams.map(({ name }) => name))
})

test('the probe says that nobody has tried it on a real server, and what is there', async () => {
  const { bench, server } = await open()
  expect(await bench.probe()).toMatchObject({
    presence: 'present',
    summary: 'MongoDB 8.0.4, 4 collections, 2 views',
    versions: { mongodb: '8.0.4', mongodump: '100.10.0' },
    rung: expect.stringMatching(/^live: /),
    warnings: [
      'not yet run against a real server: this driver was tested against a stand-in only',
      'users and roles are not in a snapshot',
    ],
  })
  rmSync(path.join(server.socketPath, '../bin/mongorestore'))
  expect((await bench.probe()).warnings).toContainEqual(
    expect.stringMatching(/^mongorestore \(by env .*\): it ended with status 127.*; install mongorestore there/),
  )
  rmSync(path.join(server.socketPath, '../bin/mongosh'))
  await expect(bench.probe()).rejects.toMatchObject({
    code: 'unavailable',
    hint: 'install mongosh there, or say by run: where it is',
  })
})

test('a password goes by standard input alone, and no word or error shows it', async () => {
  const { bench, live, server, serviceWith } = await open()
  server.data.set('login', JSON.stringify(['us:er', password]))
  const config = (user: string) => ({ url: server.url('shop_{env}', `${user}:\${PASSWORD}@`) })
  const wrong = await (await serviceWith(config('other'))).probe().catch((error) => error)
  expect(wrong).toMatchObject({ code: 'refused', message: 'sample: the server does not let this user in' })
  const right = await serviceWith(config('us%3Aer'))
  expect((await right.probe()).presence).toBe('present')
  const capture = await right.capture(bench.content, { damage: 'keep', live: false, progress() {} })
  const record = await capture.copy()
  await live.change(1)
  const options = { source: bench.content, id: '01j00000000000000000000000', progress() {} }
  await right.stage(record, record, options)
  await right.sweep(options.id)
  server.data.set('login', JSON.stringify(['us:er', 'changed since']))
  const dump = await capture.copy().catch((error) => error)
  expect(dump).toMatchObject({ code: 'unavailable', message: expect.stringContaining('Authentication failed') })
  const shown = [wrong, dump].map((error) => `${error.message} ${error.hint} ${error.cause?.message}`).join('\n')
  for (const secret of ['p@ss', encodeURIComponent(password)]) {
    expect(server.words()).not.toContain(secret)
    expect(shown + right.place).not.toContain(secret)
  }
  expect(server.words().match(/--collection=/g)!.length).toBeGreaterThan(10)
  await right.close()
})

test.each([
  ['a time series collection cannot be renamed', { timeseries: { timeField: 'at' } }, 'weather'],
  ['a collection with encrypted fields', { encryptedFields: { fields: [] } }, 'people'],
  ['kept by the server itself', {}, 'system.js'],
])('what cannot be brought back exactly is named: %s', async (why, options, name) => {
  const { bench, server } = await open()
  server.data.create(database, name, options)
  expect((await bench.probe()).warnings.at(-1)).toContain(`${name}: ${why}`)
  await expect(bench.capture()).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining(name) })
})

test('a sharded cluster is refused', async () => {
  const { bench, server } = await open()
  server.data.set('kind', 'mongos')
  expect((await bench.probe()).warnings.at(-1)).toContain('a sharded cluster')
  await expect(bench.capture()).rejects.toMatchObject({ code: 'refused' })
})

test('a dump that breaks off, and a collection that is dropped while it is read, make no record', async () => {
  const { bench, server } = await open()
  server.data.set('mishap', 'dump')
  await expect(bench.capture()).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('unexpected EOF'),
  })
  server.data.set('mishap', 'drop')
  await expect(bench.capture()).rejects.toMatchObject({ code: 'busy', message: expect.stringContaining('dropped') })
})

test('what a writer makes at a name in the middle of the swap is in what undo brings back', async () => {
  const { bench, live, server, serviceWith } = await open()
  const target = await bench.capture()
  await live.change(1)
  const safety = await bench.capture()
  const staged = await bench.stage(target, safety)
  const meant = { _id: 3, total: 99 }
  const service = await serviceWith({}, (step) => {
    if (step !== 'sample: orders set aside') return
    server.insert(database, 'orders', meant, { _id: 'late', total: 1 })
    server.insert(database, 'log', { _id: 'late' })
  })
  const swap = service.swap(staged, bench.content)
  await bench.finish(swap)
  const before = await swap.before(bench.content, safety)
  await swap.discard()
  await service.close()
  const rows = (name: string) => before.objects.find((each) => each.name === name)?.rows
  // 131, one removed and one added by the change, one added since; of the log nothing but what came since.
  expect([rows('orders'), rows('log')]).toEqual([132, 1])
  await bench.restore(before)
  const { uuid } = server.data.collection(database, 'orders')!
  const documents = server.data.documents(uuid).map(({ bson }) => Buffer.from(bson))
  expect(documents.filter((bson) => fieldsOf(bson).get('_id') === fieldsOf(encode(meant)).get('_id'))).toEqual([
    encode(meant),
  ])
  expect(await bench.leftOver()).toEqual([])
})

test.each(['forward', 'back'] as const)(
  'a writer that makes a collection anew after a swap was cut short is not lost on the way %s',
  async (direction) => {
    const { bench, live, server, serviceWith } = await open()
    const target = await bench.capture()
    await live.change(1)
    const replaced = await live.fingerprint()
    const safety = await bench.capture()
    const service = await serviceWith({}, (step) => {
      if (step === 'sample: orders set aside') throw new Error('cut short')
    })
    const first = service.swap(await bench.stage(target, safety), bench.content)
    const staged = await first.lastCapture()
    await expect(first.forward()).rejects.toThrow('cut short')
    await service.close()
    server.insert(database, 'orders', { _id: 'meanwhile' })
    const second = await bench.swap(staged)
    expect(await second.inspect()).toBe('between')
    const kept = () =>
      server.data
        .collections(database)
        .filter(({ name }) => name.includes('_late_'))
        .map(({ uuid }) => server.data.documents(uuid).map(({ bson }) => Buffer.from(bson)))
    if (direction === 'back') {
      await second.back()
      expect(await second.inspect()).toBe('before')
      expect(await live.fingerprint()).toBe(replaced)
      expect(kept()).toEqual([[encode({ _id: 'meanwhile' })]])
    } else {
      await bench.finish(second)
      const before = await second.before(bench.content, safety)
      expect(before.objects.find(({ name }) => name === 'orders')?.rows).toBe(132)
    }
    await second.discard()
    expect(await bench.leftOver()).toEqual([])
  },
)

test('a collection alone comes back, and undo knows what was written to the others since', async () => {
  const { bench, server } = await open()
  const target = await bench.capture()
  await bench.live.change(1)
  const changed = JSON.parse(await bench.live.fingerprint()) as { name: string }[]
  const before = await bench.restore(target, async () => {
    server.insert(database, 'empty', { _id: 'since' })
  }, ['orders'])
  const now = JSON.parse(await bench.live.fingerprint()) as { name: string }[]
  const differs = changed.filter((each, i) => JSON.stringify(each) !== JSON.stringify(now[i])).map(({ name }) => name)
  expect(differs).toEqual(['empty', 'orders'])
  expect(before.objects.find(({ name }) => name === 'empty')?.rows).toBe(1)
})

test("two git-envs never work on one database at once; one that is gone is in nobody's way", async () => {
  const { bench, server } = await open()
  const first = await (await bench.service()).reserve!()
  await expect((await bench.service()).reserve!()).rejects.toMatchObject({
    code: 'busy',
    message: expect.stringContaining(`process ${process.pid}`),
  })
  await first.release()
  const dead = { _id: 'lock', mark: 'x', host: hostname(), pid: 999_999_999, until: Date.now() + 60_000 }
  server.insert(database, 'git_env_state', { _id: 'lock', text: JSON.stringify(dead) })
  const second = await (await bench.service()).reserve!()
  await expect((await bench.service()).reserve!()).rejects.toMatchObject({ code: 'busy' })
  await second.release()
})

test('whose data it is stands in the database itself', async () => {
  const { bench } = await open()
  const service = await bench.service()
  expect(await service.marker!()).toBeUndefined()
  await service.setMarker!({ ref: 'refs/heads/main', restoring: 'x' })
  await service.setMarker!({ ref: 'refs/heads/main' })
  expect(await (await bench.service()).marker!()).toEqual({ ref: 'refs/heads/main' })
})

test.each([
  ['mongodb://127.0.0.1', 'names no database'],
  ['mongodb://127.0.0.1/admin', "is the server's own database"],
  ['mongodb://127.0.0.1/a.b', 'can be no name of a database'],
  ['mongodb://app:a%0ab@127.0.0.1/shop', 'holds a control character'],
  ['mongodb://127.0.0.1/shop?replicaSett=rs0', 'unknown parameter replicaSett'],
])('%s is refused: %s', async (url, why) => {
  const { serviceWith } = await open()
  await expect(serviceWith({ url })).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining(why) })
})
