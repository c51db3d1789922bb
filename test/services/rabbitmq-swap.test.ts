import { expect, test } from 'vitest'
import type { ServiceSwap } from '../../src/services/service-driver.ts'
import { createRabbitmqSample, within } from '../samples/rabbitmq.ts'
import { ServiceBench } from '../support/service-bench.ts'

/** A vhost whose queue `written` has some messages more than its snapshot, and whose other queues are as in it. */
async function twoStates() {
  const live = await createRabbitmqSample()
  const bench = await ServiceBench.open({ type: 'rabbitmq', create: async () => live })
  await live.publish('written', ['1', '2'])
  const target = await bench.capture()
  await live.publish('written', ['3'])
  const safety = await bench.capture()
  const staged = await bench.stage(target, safety)
  const bodies = async (queue: string) => (await live.peek(queue)).map(({ content }) => content.toString())
  return { live, bench, safety, staged, bodies }
}

async function swapAhead(swap: ServiceSwap) {
  await swap.prepare!()
  await swap.hold(5000)
  const staged = await swap.lastCapture()
  await swap.forward()
  return staged
}

test('what is published after it was swapped ahead, and before the others are held, goes with what is replaced', async () => {
  const { live, bench, safety, staged, bodies } = await twoStates()
  const urgent = await bodies('urgent')
  const swap = await bench.swap(staged)
  await swapAhead(swap)
  // One queue was exchanged; the other was as it should be.
  await live.publish('written', ['4', '1'])
  await live.publish('urgent', ['late'])
  for (const time of [1, 2]) {
    await swap.catchUp!()
    await live.publish('written', [`5 ${time}`])
  }
  await swap.readBack()
  await swap.release()
  expect(await bodies('written')).toEqual(['1', '2', '5 2'])
  expect(await bodies('urgent')).toEqual(urgent)
  const before = await swap.before(bench.content, safety)
  await swap.discard()
  await bench.restore(before)
  expect(await bodies('written')).toEqual(['1', '2', '3', '4', '1', '5 1'])
  expect((await bodies('urgent')).toSorted()).toEqual([...urgent, 'late'].toSorted())
  expect(await bench.leftOver()).toEqual([])
})

test.for(['this process', 'another process'])(
  'on the way back by %s nothing that was published meanwhile is lost or doubled',
  async (who) => {
    const { live, bench, staged, bodies } = await twoStates()
    const urgent = await bodies('urgent')
    const swap = await bench.swap(staged)
    const captured = await swapAhead(swap)
    await live.publish('written', ['4'])
    await live.publish('urgent', ['late'])
    await swap.catchUp!()
    await live.publish('written', ['5'])
    await live.publish('urgent', ['later'])
    let other = swap
    if (who === 'another process') {
      await swap.release()
      other = await bench.swap(captured)
      await other.hold(5000)
    }
    await other.back()
    expect(await other.inspect()).toBe('before')
    await other.release()
    expect((await bodies('written')).toSorted()).toEqual(['1', '2', '3', '4', '5'])
    expect((await bodies('urgent')).toSorted()).toEqual([...urgent, 'late', 'later'].toSorted())
    await other.discard()
    expect(await bench.leftOver()).toEqual([])
  },
)

test('a recovery catches up with what was published since the crash', async () => {
  const { live, bench, safety, staged, bodies } = await twoStates()
  const first = await bench.swap(staged)
  const captured = await swapAhead(first)
  await live.publish('written', ['4'])
  await first.catchUp!()
  await first.release()
  await live.publish('written', ['5'])
  const second = await bench.swap(captured)
  await bench.finish(second)
  expect(await bodies('written')).toEqual(['1', '2'])
  const before = await second.before(bench.content, safety)
  await second.discard()
  await bench.restore(before)
  expect(await bodies('written')).toEqual(['1', '2', '3', '4', '5'])
})

test('a queue that somebody deletes and makes again while it is restored is noticed, and all is put back', async () => {
  const { live, bench, staged, bodies } = await twoStates()
  const swap = await bench.swap(staged)
  await swapAhead(swap)
  await within(live.server, live.vhost, async (channel) => {
    await channel.deleteQueue('written')
    await channel.assertQueue('written')
  })
  await expect(swap.readBack()).rejects.toMatchObject({ code: 'busy' })
  await swap.back()
  await swap.release()
  expect(await bodies('written')).toEqual(['1', '2', '3'])
  await swap.discard()
})
