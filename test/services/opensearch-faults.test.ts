import { describe, expect, test } from 'vitest'
import { createSearchSample } from '../samples/opensearch.ts'
import type { Asked, Mishap, SearchKind } from '../support/servers/search.ts'
import { restoreId, ServiceBench } from '../support/service-bench.ts'

async function open(kind: SearchKind = 'opensearch') {
  const sample = await createSearchSample(kind)
  const bench = await ServiceBench.open({ type: kind, create: async () => sample })
  const target = await bench.capture()
  const wanted = await bench.live.fingerprint()
  await bench.live.change(1)
  return { server: sample.server, bench, target, wanted, replaced: await bench.live.fingerprint() }
}

const isChange = ({ method, path }: Asked) => method !== 'GET' && !/_search|_pit|_refresh/.test(path)

/** Once for each request that changes something: it is cut, before or after the server has heeded it. */
async function cutEverywhere(
  mishap: Mishap,
  run: (begin: () => void, opened: Awaited<ReturnType<typeof open>>) => Promise<void>,
): Promise<number> {
  for (let step = 1; ; step++) {
    const opened = await open(step % 2 === 0 ? 'opensearch' : 'elasticsearch')
    const { server } = opened
    let count = 0
    let wasCut = false
    await run(() => {
      server.mishap = (asked) => {
        if (!isChange(asked) || ++count !== step) return undefined
        wasCut = true
        return mishap
      }
    }, opened)
    if (!wasCut) return step - 1
    await server.stop()
  }
}

describe.each(['cut', 'cut after'] as const)('a connection that is %s', (mishap) => {
  test('while it is staged changes nothing, and what was staged is swept', async () => {
    const steps = await cutEverywhere(mishap, async (begin, { server, bench, target, replaced }) => {
      const strangers = await bench.live.strangers()
      const safety = await bench.capture()
      begin()
      await bench.stage(target, safety).catch((error) => expect(error).toMatchObject({ code: 'unavailable' }))
      server.mishap = () => undefined
      await (await bench.service()).sweep(restoreId)
      expect(await bench.live.fingerprint()).toBe(replaced)
      expect(await bench.live.strangers()).toBe(strangers)
      expect(await bench.leftOver()).toEqual([])
    })
    expect(steps).toBe(4)
  }, 60_000)

  test('in the middle of the swap leaves a state from which it is finished, or taken back', async () => {
    for (const way of ['forward', 'back'] as const) {
      const steps = await cutEverywhere(mishap, async (begin, { server, bench, target, wanted, replaced }) => {
        const first = await bench.swap(await bench.stage(target))
        await first.prepare?.()
        await first.hold(1000)
        const staged = await first.lastCapture()
        begin()
        await first.forward().catch((error) => expect(error).toMatchObject({ code: 'unavailable' }))
        server.mishap = () => undefined
        const second = await bench.swap(staged)
        if (way === 'forward') await bench.finish(second)
        else {
          await second.hold(1000)
          await second.back()
          await second.release()
          expect(await second.inspect()).toBe('before')
        }
        expect(await bench.live.fingerprint()).toBe(way === 'forward' ? wanted : replaced)
        await second.discard()
        expect(await bench.leftOver()).toEqual([])
      })
      expect(steps).toBeGreaterThan(6)
    }
  }, 60_000)
})

test('writers are let go when the swap fails behind a block', async () => {
  const { server, bench, target, replaced } = await open()
  const swap = await bench.swap(await bench.stage(target))
  await swap.prepare?.()
  await swap.hold(1000)
  await swap.lastCapture()
  server.mishap = ({ path }) =>
    path.includes('_clone') ? { status: 500, body: { error: { type: 'no_room', reason: 'disk' } } } : undefined
  await expect(swap.forward()).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('no_room'),
  })
  expect(server.index('shop-products')!.isBlocked).toBe(false)
  expect(await bench.live.fingerprint()).not.toBe(replaced)
  server.mishap = () => undefined
  await swap.back()
  await swap.release()
  expect(await bench.live.fingerprint()).toBe(replaced)
  await swap.discard()
  expect(await bench.leftOver()).toEqual([])
})

test('one document that the server does not take fails the restore, by its id, and nothing is changed', async () => {
  const { server, bench, target, replaced } = await open()
  server.refuseItem = (id) =>
    id === 'n17' ? { status: 400, type: 'mapper_parsing_exception', reason: 'failed to parse field [name]' } : undefined
  await expect(bench.stage(target)).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringMatching(/the document n17: mapper_parsing_exception: failed to parse field \[name\]/),
  })
  expect(await bench.live.fingerprint()).toBe(replaced)
})

test('documents that the server has no room for are sent again', async () => {
  const { server, bench, target, wanted } = await open()
  const refused = new Set<string>()
  server.refuseItem = (id) => {
    if (!id.startsWith('n1') || refused.has(id)) return undefined
    refused.add(id)
    return { status: 429, type: 'es_rejected_execution_exception', reason: 'queue is full' }
  }
  await bench.restore(target)
  expect(refused.size).toBeGreaterThan(10)
  expect(await bench.live.fingerprint()).toBe(wanted)
})

test('an answer that has only a part of the documents is no snapshot', async () => {
  const { server, bench } = await open()
  server.mishap = ({ path }) =>
    path === '/_search'
      ? {
          status: 200,
          body: { pit_id: 'x', timed_out: false, _shards: { failed: 1 }, hits: { total: { value: 0 }, hits: [] } },
        }
      : undefined
  await expect(bench.capture()).rejects.toMatchObject({ code: 'unavailable' })
  server.mishap = ({ path }) =>
    path === '/_search'
      ? {
          status: 200,
          body: { pit_id: 'x', timed_out: false, _shards: { failed: 0 }, hits: { total: { value: 3 }, hits: [] } },
        }
      : undefined
  await expect(bench.capture()).rejects.toMatchObject({ message: expect.stringContaining('0 of 3 documents') })
})

test('an index that was made under the name right before the swap is not lost', async () => {
  const { server, bench, target } = await open()
  const swap = await bench.swap(await bench.stage(target))
  await swap.prepare?.()
  await swap.hold(1000)
  await swap.lastCapture()
  server.indices.delete('shop-products')
  server.create('shop-products').write('new', undefined, '{"fresh":true}', true)
  const now = await bench.live.fingerprint()
  await expect(swap.forward()).rejects.toMatchObject({ code: 'busy' })
  await swap.back()
  await swap.release()
  const after = JSON.parse(await bench.live.fingerprint())
  expect(after.indices).toEqual(JSON.parse(now).indices)
  await swap.discard()
})
