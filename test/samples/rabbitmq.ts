import { hash } from 'node:crypto'
import type { ConfirmChannel, GetMessage, Options } from 'amqplib'
import { onTestFinished } from 'vitest'
import { canonicalJson, type Json } from '../../src/domain/canonical-json.ts'
import type { DriverSample, LiveSample } from '../contract/service-driver.ts'
import { startRabbitmqWriter } from '../support/rabbitmq-writer.ts'
import { type RabbitmqServer, sharedRabbitmq } from '../support/servers/rabbitmq.ts'
import { temporaryDirectory } from '../support/temporary.ts'

export const sample: DriverSample = { type: 'rabbitmq', create: () => createRabbitmqSample() }

let count = 0

export type RabbitmqSample = LiveSample & {
  readonly server: RabbitmqServer
  readonly vhost: string
  publish(queue: string, bodies: readonly (string | Buffer)[], options?: Options.Publish): Promise<void>
  /** All messages of a queue, which are put back. */
  peek(queue: string): Promise<readonly GetMessage[]>
}

/** A vhost in the process's own broker, beside one of nearly the same name that must never be touched. */
export async function createRabbitmqSample(user = 'guest', password = 'guest'): Promise<RabbitmqSample> {
  const server = await sharedRabbitmq()
  const projectDirectory = await temporaryDirectory()
  const vhost = `shop/${process.pid} ${++count}`
  const other = `${vhost}-other`
  for (const each of [vhost, other]) await server.api('PUT', `vhosts/${encodeURIComponent(each)}`, {})
  onTestFinished(async () => {
    for (const each of [vhost, other]) await server.api('DELETE', `vhosts/${encodeURIComponent(each)}`)
  })
  const publish: RabbitmqSample['publish'] = (queue, bodies, options) =>
    within(server, vhost, async (channel) => {
      for (const body of bodies) channel.sendToQueue(queue, Buffer.from(body), { persistent: true, ...options })
    })
  await fill(server, vhost)
  await within(server, other, async (channel) => {
    await channel.assertQueue('orders')
    channel.sendToQueue('orders', Buffer.from("another's"), { persistent: true })
  })
  return {
    server,
    vhost,
    config: { url: server.url(vhost, user, password), management: `http://127.0.0.1:${server.managementPort}` },
    projectDirectory,
    publish,
    peek: (queue) => within(server, vhost, (channel) => readAll(channel, queue)),
    change: (seed) =>
      within(server, vhost, async (channel) => {
        const gone = await channel.get('orders')
        if (gone) channel.ack(gone)
        channel.publish('shop', 'order.new', Buffer.from(`order ${seed}`), {
          persistent: true,
          messageId: String(seed),
        })
        channel.sendToQueue('urgent', Buffer.from(`urgent ${seed}`), { persistent: true, priority: seed % 5 })
        await channel.assertQueue(`more ${seed}`, { arguments: { 'x-max-length': 100 + seed } })
        await channel.bindQueue(`more ${seed}`, 'shop', 'order.#')
        channel.sendToQueue(`more ${seed}`, Buffer.from('one more'), { persistent: true })
        await channel.deleteQueue('going')
        await channel.deleteQueue('shape')
        await channel.assertQueue('shape', { arguments: { 'x-max-length': 7 } })
        channel.sendToQueue('shape', Buffer.from(`other shape ${seed}`), { persistent: true })
      }),
    fingerprint: () => fingerprint(server, vhost),
    strangers: async () => `${await fingerprint(server, other)} ${await rest(server, vhost)}`,
    leftOver: (id) => ownNamesIn(server, vhost, id),
    remove: async () => void (await server.api('DELETE', `vhosts/${encodeURIComponent(vhost)}`)),
    ruins: {},
    startWriter: () => startRabbitmqWriter(server.url(vhost)),
    written: () =>
      within(server, vhost, async (channel) =>
        (await readAll(channel, 'written')).map(({ content }) => Number(content)).sort((a, b) => a - b),
      ),
  }
}

/** Definitions and messages with odd values among them. */
async function fill(server: RabbitmqServer, vhost: string): Promise<void> {
  await within(server, vhost, async (channel) => {
    await channel.assertExchange('shop', 'topic')
    await channel.assertExchange('odd exchange/ü', 'headers', { internal: false })
    await channel.assertQueue('orders', {
      arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' },
    })
    await channel.assertQueue('dead')
    await channel.assertQueue('urgent', { maxPriority: 5 })
    await channel.assertQueue('quorum', { arguments: { 'x-queue-type': 'quorum' } })
    await channel.assertQueue('written')
    await channel.assertQueue('empty')
    await channel.assertQueue('going')
    await channel.assertQueue('shape', { arguments: { 'x-max-length': 5 } })
    await channel.assertQueue('odd "queue"/ü %41', { arguments: { 'x-message-ttl': 3_600_000 } })
    await channel.bindQueue('orders', 'shop', 'order.*')
    await channel.bindQueue('odd "queue"/ü %41', 'odd exchange/ü', '', { 'x-match': 'all', kind: 'odd' })
    for (let number = 0; number < 20; number++) {
      channel.publish('shop', 'order.new', Buffer.from(`order ${number}`), {
        persistent: number % 3 > 0,
        headers: { number, big: 2 ** 45, text: 'ü', yes: true, nested: { list: [1, 'two', null] } },
        correlationId: `c${number}`,
        replyTo: 'answers',
        contentType: 'text/plain',
        timestamp: 1_700_000_000 + number,
        ...(number % 4 === 0 ? { expiration: '3600000' } : {}),
      })
      channel.sendToQueue('urgent', Buffer.from(`urgent ${number}`), { persistent: true, priority: number % 7 })
      channel.sendToQueue('quorum', Buffer.from(`quorum ${number}`), { persistent: true, headers: { number } })
    }
    channel.publish('odd exchange/ü', 'any key', Buffer.from([0, 255, 0xce, 10, 13]), { headers: { kind: 'odd' } })
    channel.sendToQueue('orders', Buffer.alloc(300_000, 'large'), { persistent: true, CC: ['dead'] })
    channel.sendToQueue('going', Buffer.from('will be gone'), { persistent: true })
    channel.sendToQueue('shape', Buffer.from('first shape'), { persistent: true })
    channel.sendToQueue('empty', Buffer.from(''), { persistent: true })
  })
  await server.api('PUT', `policies/${encodeURIComponent(vhost)}/all`, {
    pattern: '^urgent$',
    definition: { 'max-length': 1000 },
    'apply-to': 'queues',
  })
}

export async function within<T>(
  server: RabbitmqServer,
  vhost: string,
  task: (channel: ConfirmChannel) => Promise<T>,
): Promise<T> {
  const connection = await server.connect(vhost)
  try {
    const channel = await connection.createConfirmChannel()
    channel.on('error', () => {})
    const result = await task(channel)
    await channel.waitForConfirms()
    return result
  } finally {
    await connection.close().catch(() => {})
  }
}

/** Takes all there are, puts them back, and waits until they are there. */
export async function readAll(channel: ConfirmChannel, queue: string): Promise<GetMessage[]> {
  const messages: GetMessage[] = []
  const { messageCount } = await channel.checkQueue(queue)
  if (messageCount === 0) return []
  await new Promise<void>((resolve, reject) => {
    void channel
      .consume(
        queue,
        (message) => {
          if (!message) return reject(new Error(`${queue} is gone`))
          messages.push({ ...message, fields: { ...message.fields, messageCount: 0 } } as unknown as GetMessage)
          if (messages.length === messageCount) resolve()
        },
        { consumerTag: `reader of ${queue}` },
      )
      .catch(reject)
  })
  await channel.cancel(`reader of ${queue}`)
  channel.nackAll(true)
  while ((await channel.checkQueue(queue)).messageCount < messageCount)
    await new Promise((resolve) => setTimeout(resolve, 10))
  return messages
}

/** Definitions as the management plugin exports them, and all messages of all queues in their order. */
export async function fingerprint(server: RabbitmqServer, vhost: string): Promise<string> {
  const definitions = (await server.api('GET', `definitions/${encodeURIComponent(vhost)}`)) as
    | Record<string, { name?: string; source?: string }[]>
    | undefined
  if (!definitions) return 'absent'
  const { queues, exchanges, bindings, policies } = definitions
  const ours = ({ name, source }: { name?: string; source?: string }) => !(name ?? source)?.startsWith('git-env.')
  const lines = [queues, exchanges, bindings, policies].flatMap((list) =>
    list!
      .filter(ours)
      .map((each) => canonicalJson(each as Json))
      .sort(),
  )
  const messages = await within(server, vhost, async (channel) => {
    const all: string[] = []
    for (const name of queues!
      .filter(ours)
      .map((queue) => queue.name!)
      .sort()) {
      for (const { fields, properties, content } of await readAll(channel, name)) {
        const { 'x-delivery-count': _, ...headers } = properties.headers ?? {}
        all.push(JSON.stringify([name, fields.routingKey, { ...properties, headers }, hash('sha256', content)]))
      }
    }
    return all
  })
  return [...lines, ...messages].join('\n')
}

/** Other vhosts, and the users. */
async function rest(server: RabbitmqServer, vhost: string): Promise<string> {
  const vhosts = (await server.api('GET', 'vhosts?columns=name')) as { name: string }[]
  const permissions = await server.api('GET', `vhosts/${encodeURIComponent(vhost)}/permissions`)
  const users = await server.api('GET', 'users?columns=name,tags')
  return JSON.stringify([vhosts.map(({ name }) => name).filter((name) => name.startsWith(vhost)), permissions, users])
}

async function ownNamesIn(server: RabbitmqServer, vhost: string, id: string): Promise<string[]> {
  const lists = await Promise.all(
    ['queues', 'exchanges'].map(
      async (kind) =>
        ((await server.api('GET', `${kind}/${encodeURIComponent(vhost)}?columns=name`)) ?? []) as { name: string }[],
    ),
  )
  return lists
    .flat()
    .map(({ name }) => name)
    .filter((name) => name.includes(id))
}
