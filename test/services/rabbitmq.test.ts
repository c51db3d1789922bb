import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { Connection } from '../../src/services/rabbitmq/connection.ts'
import { createRabbitmqSample, fingerprint, within } from '../samples/rabbitmq.ts'
import { startRabbitmq } from '../support/servers/rabbitmq.ts'
import { ServiceBench } from '../support/service-bench.ts'

async function benchOf(live: Awaited<ReturnType<typeof createRabbitmqSample>>): Promise<ServiceBench> {
  return ServiceBench.open({ type: 'rabbitmq', create: async () => live })
}

test('order, headers, priorities, expiry and any bytes come back after a ruin, and outlive a crash of the broker', async () => {
  const live = await createRabbitmqSample()
  const bench = await benchOf(live)
  const wanted = await live.fingerprint()
  const target = await bench.capture()
  await within(live.server, live.vhost, async (channel) => {
    for (const queue of ['orders', 'urgent', 'quorum']) await channel.purgeQueue(queue)
    await channel.deleteQueue('odd "queue"/ü %41')
    await channel.deleteExchange('shop')
  })
  await bench.restore(target)
  expect(await live.fingerprint()).toBe(wanted)
  const orders = await live.peek('orders')
  expect(orders.map(({ content }) => content.toString()).slice(0, 20)).toEqual(
    Array.from({ length: 20 }, (_, number) => `order ${number}`),
  )
  expect([orders[0]!.fields.exchange, orders[0]!.fields.routingKey]).toEqual(['shop', 'order.new'])
  expect(orders.filter(({ properties }) => properties.expiration === '3600000')).toHaveLength(5)
  expect((await live.peek('urgent')).map(({ properties }) => Math.min(properties.priority, 5))).toEqual(
    (await live.peek('urgent')).map(({ properties }) => Math.min(properties.priority, 5)).toSorted((a, b) => b - a),
  )
  await live.server.crash()
  // Messages that were published as transient do not outlive it; all others do.
  const persistent = wanted.split('\n').filter((line) => !/"deliveryMode":1|"odd \\"queue/.test(line))
  const lost = async () => {
    const after = (await live.fingerprint()).split('\n')
    return persistent.filter((line) => line.startsWith('[') && !after.includes(line)).join('\n')
  }
  // A quorum queue chooses a leader first.
  await settled(lost, '')
})

test('what reading leaves behind is what RabbitMQ says: the same order and number, marked as redelivered', async () => {
  const live = await createRabbitmqSample()
  await live.publish(
    'written',
    Array.from({ length: 3000 }, (_, number) => String(number)),
  )
  await (await benchOf(live)).capture()
  const messages = await live.peek('written')
  expect(messages.map(({ content }) => Number(content))).toEqual(Array.from({ length: 3000 }, (_, number) => number))
  expect(messages.every(({ fields }) => fields.redelivered)).toBe(true)
  const [first] = await live.peek('quorum')
  expect(first!.properties.headers?.['x-delivery-count']).toBe(1)
})

test('a git-env that is killed while it has all messages in hand leaves each in its queue, once and in order', async () => {
  const live = await createRabbitmqSample()
  const bench = await benchOf(live)
  const before = await live.fingerprint()
  const staged = await bench.stage(await bench.capture())
  for (const task of ['hold for a capture', 'hold for a swap'] as const) {
    expect((await bench.elsewhere({ task, staged })).killed).toBe(true)
    await settled(() => live.fingerprint(), before)
  }
})

test('properties come back byte by byte: the width of numbers, 64 bits, text that is no UTF-8', async () => {
  const live = await createRabbitmqSample()
  const bench = await benchOf(live)
  const table = Buffer.concat([
    Buffer.from('\u0004byteB\u00ff\u0005shorts\u0000\u0005\u0004longI\u0000\u0000\u0000\u0005\u0004hugel', 'latin1'),
    Buffer.from('7fffffffffffffff', 'hex'),
    Buffer.from(
      '\u0004textS\u0000\u0000\u0000\u0002\u00ff\u00fe\u0005bytesx\u0000\u0000\u0000\u0001\u0000\u0005floatf\u003f\u0080\u0000\u0000',
      'latin1',
    ),
  ])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(table.length)
  const properties = Buffer.concat([Buffer.from([0x30, 0x00]), length, table, Buffer.from([2])])
  const login = { name: 'test', place: 'here', user: 'guest', password: 'guest', vhost: live.vhost }
  const connection = await Connection.open(connect(live.server.port, '127.0.0.1'), login)
  onTestFinished(() => connection.close())
  const channel = await connection.channel()
  channel.publish({ exchange: '', routingKey: 'written', properties, body: Buffer.from('widths') })
  while ((await channel.countQueue('written')).ready === 0);
  const target = await bench.capture()
  await within(live.server, live.vhost, (other) => other.purgeQueue('written'))
  await bench.restore(target)
  expect((await channel.get('written'))!.message.properties.toString('hex')).toBe(properties.toString('hex'))
})

test('a user with an odd password, and rights in one vhost only, captures and restores it', async () => {
  const password = `p@ss/w:o"r'd\\ %41 é#?&`
  const live = await createRabbitmqSample('app "user"', password)
  await live.server.api('PUT', `users/${encodeURIComponent('app "user"')}`, { password, tags: 'policymaker' })
  await live.server.api('PUT', `permissions/${encodeURIComponent(live.vhost)}/${encodeURIComponent('app "user"')}`, {
    configure: '.*',
    write: '.*',
    read: '.*',
  })
  const bench = await benchOf(live)
  const wanted = await live.fingerprint()
  const target = await bench.capture()
  await live.change(2)
  const replaced = await live.fingerprint()
  const others = await live.strangers()
  const before = await bench.restore(target)
  expect(await live.fingerprint()).toBe(wanted)
  await bench.restore(before)
  expect(await live.fingerprint()).toBe(replaced)
  expect(await live.strangers()).toBe(others)
  expect((await bench.probe()).warnings.join()).toContain('is no administrator')
  expect(JSON.stringify([target, before])).not.toContain('p@ss')
})

test('only some queues are restored, and others stay as they are', async () => {
  const live = await createRabbitmqSample()
  const bench = await benchOf(live)
  const target = await bench.capture()
  await live.change(3)
  const orders = await live.peek('orders')
  await within(live.server, live.vhost, (channel) => channel.purgeQueue('urgent'))
  await bench.restore(target, async () => {}, ['urgent'])
  expect((await live.peek('urgent')).length).toBe(20)
  expect((await live.peek('orders')).map(({ content }) => content.toString())).toEqual(
    orders.map(({ content }) => content.toString()),
  )
  expect((await live.peek('more 3')).length).toBe(1)
  await expect(bench.stage(target, undefined, ['nothing'])).rejects.toMatchObject({ code: 'not-found' })
})

test('with consumers the level is live, and queues that nobody may read are named', async () => {
  const live = await createRabbitmqSample()
  const bench = await benchOf(live)
  await within(live.server, live.vhost, async (channel) => {
    await channel.assertQueue('limited', { arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 3 } })
    await channel.assertQueue('log', { arguments: { 'x-queue-type': 'stream' } })
    channel.sendToQueue('limited', Buffer.from('precious'), { persistent: true })
  })
  const connection = await live.server.connect(live.vhost)
  onTestFinished(() => connection.close())
  const channel = await connection.createChannel()
  await channel.prefetch(1)
  await channel.consume('orders', () => {})
  await channel.consume('going', () => {}, { exclusive: true })
  const record = await bench.capture()
  expect([record.level, record.live]).toEqual(['live', ['going', 'limited', 'log', 'orders']])
  expect(record.objects.map(({ name }) => name)).not.toContain('limited')
  expect((await bench.probe()).advice).toContain('stop the consumers')
})

test('a delivery limit is spent only where that is allowed, and not down to its end', async () => {
  const live = await createRabbitmqSample()
  await within(live.server, live.vhost, async (channel) => {
    await channel.assertQueue('limited', { arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 5 } })
    channel.sendToQueue('limited', Buffer.from('precious'), { persistent: true })
  })
  const bench = await benchOf({ ...live, config: { ...live.config, deliveryLimit: 'spend' } })
  for (const time of [1, 2, 3]) expect([time, (await bench.capture()).level]).toEqual([time, 'frozen'])
  await expect(bench.capture()).rejects.toMatchObject({ code: 'refused' })
  expect((await live.peek('limited')).length).toBe(1)
})

test('two git-envs never work on one vhost at once', async () => {
  const live = await createRabbitmqSample()
  const bench = await benchOf(live)
  const first = await (await bench.service()).reserve!()
  await expect((await bench.service()).reserve!()).rejects.toMatchObject({ code: 'busy' })
  await first.release()
  await (await (await bench.service()).reserve!()).release()
  const service = await bench.service()
  expect(await service.marker!()).toBeUndefined()
  await service.setMarker!({ ref: 'refs/heads/main', restoring: 'x' })
  await service.setMarker!({ ref: 'refs/heads/ü' })
  expect(await service.marker!()).toEqual({ ref: 'refs/heads/ü' })
})

test('what is restored goes to a broker of another node name, and without the management plugin the mending command is named', async () => {
  const live = await createRabbitmqSample()
  const bench = await benchOf(live)
  const wanted = await live.fingerprint()
  const target = await bench.capture()
  const other = await startRabbitmq()
  onTestFinished(() => other.stop())
  await other.api('PUT', `vhosts/${encodeURIComponent(live.vhost)}`, {})
  const there = {
    ...live,
    config: { url: other.url(live.vhost), management: `http://127.0.0.1:${other.managementPort}` },
  }
  const second = await benchOf(there)
  for (const [id, bytes] of bench.content.chunks) second.content.chunks.set(id, bytes)
  await second.restore(target)
  expect(await fingerprint(other, live.vhost)).toBe(wanted)
  const closed = await benchOf({ ...live, config: { ...live.config, management: 'http://127.0.0.1:1' } })
  await expect(closed.probe()).rejects.toMatchObject({
    code: 'unavailable',
    hint: expect.stringContaining('rabbitmq-plugins enable rabbitmq_management'),
  })
})

/** After a connection was cut the broker gives back in its own time. */
async function settled(look: () => Promise<string>, wanted: string): Promise<void> {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; ) {
    if ((await look()) === wanted) break
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  expect(await look()).toBe(wanted)
}
