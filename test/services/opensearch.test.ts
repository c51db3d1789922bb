import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { loadDriver } from '../../src/services/registry.ts'
import { createSearchSample } from '../samples/opensearch.ts'
import { makeCertificates } from '../support/certificates.ts'
import { type SearchKind, SearchServer } from '../support/servers/search.ts'
import { ServiceBench } from '../support/service-bench.ts'

const password = `p@ss/w:o"r'd\\ %41 \u00e4#?&`

/** A server, and the bench around a service of it; `more` is added to the configuration. */
async function open(kind: SearchKind = 'opensearch', more: Record<string, unknown> = {}) {
  const sample = await createSearchSample(kind)
  const live = { ...sample, config: { ...sample.config, ...more } }
  const bench = await ServiceBench.open({ type: kind, create: async () => live })
  return { server: sample.server, bench }
}

function names(server: SearchServer): string[] {
  return [...server.indices.keys()].map((name) => name.replace(/-[0-9a-f]{8}-/, '-<hex>-')).sort()
}

for (const kind of ['opensearch', 'elasticsearch'] as const) {
  describe(kind, () => {
    test('an index that has its name itself, and one behind an alias that is named', async () => {
      const { server, bench } = await open(kind)
      const record = await bench.capture()
      expect(record.objects.map(({ name, rows }) => `${name} ${rows}`)).toEqual([
        '_definitions 0',
        'catalog-7 1',
        'shop-empty 0',
        'shop-orders 1',
        'shop-products 255',
      ])
      server.index('catalog')!.write('2', undefined, '{"page":2}', true)
      await bench.restore(record)
      expect(server.index('catalog')).toBe(server.index('catalog-7'))
      expect(server.index('catalog-7')!.name).toMatch(/^git-env-.*-new-[0-9a-f]{8}-catalog-7$/)
      expect(server.index('catalog-7')!.docs.size).toBe(1)
      // What did not differ was not touched.
      expect(server.indices.has('shop-products')).toBe(true)
    })

    test('points in time are given back, also when a capture is closed early', async () => {
      const { server, bench } = await open(kind)
      await bench.capture()
      const capture = await (await bench.service()).capture(bench.content, {
        damage: 'keep',
        live: false,
        progress() {},
      })
      await capture.point()
      expect(server.points.size).toBe(4)
      await capture.close()
      expect(server.points.size).toBe(0)
    })

    test('every document is read, whatever its page and shard', async () => {
      const { server, bench } = await open(kind)
      const index = server.create('shop-many', { number_of_shards: '70' })
      for (let n = 0; n < 2500; n++) index.write(`${n}`, undefined, `{"n":${n}}`, true)
      const record = await bench.capture()
      expect(record.objects.find(({ name }) => name === 'shop-many')).toMatchObject({ rows: 2500 })
    })

    test('a second restore moves aliases only, and never blocks a writer before that', async () => {
      const { server, bench } = await open(kind)
      const target = await bench.capture()
      await bench.live.change(1)
      await bench.restore(target)
      await bench.live.change(2)
      server.asked.length = 0
      const swap = await bench.swap(await bench.stage(target))
      await bench.finish(swap)
      const changes = server.asked.filter(({ path }) => /_aliases$|_block|_clone/.test(path)).map(({ path }) => path)
      // The one index that was made since has its name itself.
      expect(changes.filter((each) => each.includes('_clone'))).toHaveLength(1)
      expect(changes.indexOf('/_aliases')).toBe(2)
      await swap.discard()
    })

    test('user and password go with every request, and no error shows them', async () => {
      const { server, bench } = await open(kind, { url: '' })
      server.login = { user: 'us:er', password }
      process.env['SEARCH_TEST_PASSWORD'] = password
      const config = (user: string) => ({
        ...bench.live.config,
        url: `http://${user}:\${SEARCH_TEST_PASSWORD}@127.0.0.1:${server.port}`,
      })
      const driver = await loadDriver(kind)
      const context = {
        ...bench.context,
        foreign: new Set<string>(),
        variable: (name: string) => process.env[name],
        commands: { environment: {}, secrets: [] },
        trace() {},
        signal: new AbortController().signal,
      }
      const wrong = await driver.open(config('other'), context)
      const refused = await wrong.probe().catch((error) => error)
      expect(refused).toMatchObject({ code: 'refused', message: expect.stringContaining('does not let this user in') })
      server.login = { user: 'other', password }
      expect((await wrong.probe()).presence).toBe('present')
      server.mishap = () => 'cut'
      const away = await wrong.probe().catch((error) => error)
      expect(away).toMatchObject({ code: 'unavailable' })
      await server.stop()
      const down = await wrong.probe().catch((error) => error)
      expect(down).toMatchObject({ code: 'unavailable', hint: expect.stringContaining('is the server running') })
      for (const error of [refused, away, down]) {
        const shown = `${error.message} ${error.hint} ${JSON.stringify(error.details)} ${error.cause?.message} ${wrong.place}`
        expect(shown).not.toContain('p@ss')
        expect(shown).not.toContain(encodeURIComponent(password))
        expect(shown).not.toContain(Buffer.from(`other:${password}`).toString('base64'))
      }
      delete process.env['SEARCH_TEST_PASSWORD']
    })
  })
}

test('through a command that leads to the server, the same is read and restored', async () => {
  const { server, bench } = await open()
  const target = await bench.capture()
  const wanted = await bench.live.fingerprint()
  await bench.live.change(1)
  const config = { ...bench.live.config, run: ['env'] }
  const led = await ServiceBench.open({
    type: 'opensearch',
    create: async () => ({ ...bench.live, config, context: { allowed: true } }),
  })
  for (const [id, chunk] of bench.content.chunks) led.content.chunks.set(id, chunk)
  expect((await led.probe()).presence).toBe('present')
  await led.restore(target)
  expect(await led.live.fingerprint()).toBe(wanted)
  expect((await led.capture()).objects).toEqual(target.objects)
  expect(server.points.size).toBe(0)
})

test('over https the certificate is looked at, unless the url says not to, also through a command', async () => {
  const file = await makeCertificates('search')
  const [key, cert] = [readFileSync(file('search.key'), 'utf8'), readFileSync(file('search.pem'), 'utf8')]
  const server = await SearchServer.start('opensearch', { key, cert })
  const { bench } = await open()
  const driver = await loadDriver('opensearch')
  const probe = async (query: string, run?: string[]) => {
    const context = {
      ...bench.context,
      allowed: true,
      foreign: new Set<string>(),
      variable: () => undefined,
      commands: { environment: {}, secrets: [] },
      trace() {},
      signal: new AbortController().signal,
    }
    const url = `https://localhost:${server.port}/${query}`
    return (await driver.open({ url, indices: ['a'], ...(run ? { run } : {}) }, context)).probe()
  }
  await expect(probe('')).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('certificate'),
  })
  for (const run of [undefined, ['env']]) {
    expect((await probe(`?ca=${file('search.pem')}`, run)).presence).toBe('absent')
    expect((await probe('?tls=unverified', run)).presence).toBe('absent')
  }
})

describe('what is refused', () => {
  const odd: readonly (readonly [string, (server: SearchServer) => unknown, string])[] = [
    ['no _source', (server) => server.create('shop-x', {}, { _source: { enabled: false } }), 'shop-x keeps no _source'],
    [
      'a part of it',
      (server) => server.create('shop-x', {}, { _source: { excludes: ['a'] } }),
      'only a part of _source',
    ],
    [
      'a made up one',
      (server) => server.create('shop-x', { mapping: { source: { mode: 'synthetic' } } }),
      'makes up its _source',
    ],
    ['a closed index', (server) => server.create('shop-x', { verified_before_close: 'true' }), 'shop-x is closed'],
    [
      'one that cannot be changed',
      (server) => server.create('shop-x', { blocks: { read_only: 'true' } }),
      'more than writing',
    ],
    ['a time series', (server) => server.create('shop-x', { mode: 'time_series' }), 'of the mode time_series'],
  ]
  test.each(odd)('%s, when the snapshot is taken', async (_, make, message) => {
    const { server, bench } = await open()
    make(server)
    await expect(bench.capture()).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining(message) })
    expect((await bench.probe()).warnings.join('\n')).toContain(message)
  })

  test('versions without a point in time', async () => {
    for (const [kind, version] of [
      ['opensearch', '2.3.0'],
      ['elasticsearch', '7.11.2'],
    ] as const) {
      const { server, bench } = await open(kind)
      server.version = version
      await expect(bench.probe()).rejects.toMatchObject({ code: 'refused', message: expect.stringContaining(version) })
    }
  })

  test("an alias that has the name of somebody else's index by now", async () => {
    const { server, bench } = await open()
    const target = await bench.capture()
    await bench.live.change(1)
    server.indices.get('shopping')!.aliases.delete('products')
    server.create('products')
    const before = await bench.live.strangers()
    await expect(bench.stage(target)).rejects.toMatchObject({ message: expect.stringContaining('the alias products') })
    expect(await bench.live.strangers()).toBe(before)
  })

  test('a template of the server that would change what is made', async () => {
    const { server, bench } = await open()
    const target = await bench.capture()
    await bench.live.change(1)
    server.indexTemplates.set('their-all', { index_patterns: ['*'], template: { aliases: { everything: {} } } })
    await expect(bench.stage(target)).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining('a template gives it the alias everything'),
    })
    await (await bench.service()).sweep('01j00000000000000000000000')
    expect(await bench.leftOver()).toEqual([])
  })

  test('configurations that name nothing, or what is not theirs', async () => {
    const driver = await loadDriver('opensearch')
    const { safeParse } = await import('valibot')
    expect(safeParse(driver.schema, { url: 'http://127.0.0.1' }).success).toBe(false)
    expect(safeParse(driver.schema, { url: 'http://127.0.0.1', indices: [] }).success).toBe(false)
    expect(safeParse(driver.schema, { url: 'http://127.0.0.1', indices: ['*'] }).success).toBe(true)
  })
})

test('the probe says that nobody has tried it on a real server, and what is there', async () => {
  const { bench } = await open()
  expect(await bench.probe()).toMatchObject({
    presence: 'present',
    summary: 'OpenSearch 2.19.1, 4 indices, 3 templates and pipelines',
    swap: 'rename',
    warnings: ['not yet run against a real server: this driver was tested against a stand-in only'],
  })
})

test('vectors are asked for where a server leaves them out', async () => {
  const { server, bench } = await open('elasticsearch')
  server.version = '9.2.0'
  expect((await bench.capture()).versions).toEqual({ elasticsearch: '9.2.0' })
})

test('only one index is restored where only one is asked for', async () => {
  const { server, bench } = await open()
  const target = await bench.capture()
  await bench.live.change(1)
  const changed = await bench.live.fingerprint()
  const before = await bench.restore(target, undefined, ['shop-products'])
  expect(
    server.index('shop-products')!.docs.has('0/n7') ||
      [...server.index('shop-products')!.docs.values()].some(({ id }) => id === 'n7'),
  ).toBe(true)
  expect(server.index('shop-new-1')!.name).toBe('shop-new-1')
  expect(server.pipelines.has('shop-1')).toBe(true)
  await bench.restore(before, undefined, ['shop-products'])
  expect(await bench.live.fingerprint()).toBe(changed)
})

test('an index that was equal when it was staged and written to since is set back too, and undo has that write', async () => {
  const { server, bench } = await open()
  const target = await bench.capture()
  const wanted = await bench.live.fingerprint()
  await bench.live.change(1)
  let written = ''
  const before = await bench.restore(target, async () => {
    server.index('shop-orders')!.write('2', 'customer 2', '{"late":true}', true)
    written = await bench.live.fingerprint()
  })
  expect(await bench.live.fingerprint()).toBe(wanted)
  await bench.restore(before)
  expect(await bench.live.fingerprint()).toBe(written)
})

test("one git-env at a time works with the same indices, and one that died is in nobody's way", async () => {
  const { server, bench } = await open()
  const [first, second] = [await bench.service(), await bench.service()]
  const reservation = await first.reserve!()
  await expect(second.reserve!()).rejects.toMatchObject({
    code: 'busy',
    message: expect.stringContaining(`process ${process.pid}`),
  })
  await reservation.release()
  await (await second.reserve!()).release()
  const dead = { host: (await import('node:os')).hostname(), pid: 999_999_999, until: Date.now() + 60_000 }
  await first.reserve!()
  const state = server.index('git-env-state')!
  const [lock] = [...state.docs.values()]
  state.write(lock!.id, undefined, JSON.stringify(dead), false)
  await (await second.reserve!()).release()
})

test('the marker is beside the data, and no capture sees it', async () => {
  const { bench } = await open()
  const service = await bench.service()
  expect(await service.marker!()).toBeUndefined()
  const before = await bench.capture()
  await service.setMarker!({ ref: 'refs/heads/main' })
  expect(await service.marker!()).toEqual({ ref: 'refs/heads/main' })
  expect((await bench.capture()).objects).toEqual(before.objects)
  expect(names((bench.live as unknown as { server: SearchServer }).server)).toContain('git-env-state')
})
