import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { EnvError } from '../../domain/errors.ts'
import type { CaptureOptions } from '../service-driver.ts'
import type { Channel } from './channel.ts'
import type { Connection } from './connection.ts'
import {
  brokerVersion,
  type LiveDefinitions,
  type LiveQueue,
  readDefinitions,
  type VhostDefinition,
} from './definitions.ts'
import { staleMs, wereOurs } from './given-back.ts'
import type { Link } from './link.ts'
import { encodeMessage } from './messages.ts'
import { hasMoreRoutes, withoutDeliveryCount } from './properties.ts'
import { whyUnread } from './readable.ts'
import { routesOf } from './routes.ts'
import { Spool } from './spool.ts'
import { Taking } from './taking.ts'

type Stored = { readonly spool: Spool; count: number; deliveries: number }

export type Prepared = {
  readonly link: Link
  readonly connection: Connection
  readonly channel: Channel
  readonly taking: Taking
  readonly version: { readonly version: string; readonly major: number }
  readonly live: LiveDefinitions
  readonly vhost: VhostDefinition | undefined
  readonly unread: Readonly<Record<string, string>>
  readonly stored: ReadonlyMap<string, Stored>
  readonly directory: string
}

/** Takes what can be read. A queue that somebody has for himself alone is left out. */
export async function readAhead(
  link: Link,
  connection: Connection,
  live: LiveDefinitions,
  directory: string,
): Promise<Pick<Prepared, 'channel' | 'taking' | 'unread' | 'stored'>> {
  const unread: Record<string, string> = {}
  for (const queue of live.queues) {
    const reason = whyUnread(queue, link.broker)
    if (reason !== undefined) unread[queue.name] = reason
  }
  const leadsOnlyTo = routesOf(live.definitions)
  for (;;) {
    const channel = await connection.channel()
    const readable: LiveQueue[] = []
    for (const queue of live.queues) {
      if (unread[queue.name] !== undefined) continue
      if (queue.isSingleActive && (await channel.countQueue(queue.name)).consumers > 0)
        unread[queue.name] = 'one consumer at a time is its rule, and it has one'
      else readable.push(queue)
    }
    const stored = new Map(
      readable.map((queue, nr): [string, Stored] => [
        queue.name,
        { spool: new Spool(path.join(directory, String(nr))), count: 0, deliveries: 0 },
      ]),
    )
    const taking = new Taking(channel, (queue, { message }) => {
      const into = stored.get(queue.name)!
      const { properties, count } =
        queue.kind === 'quorum'
          ? withoutDeliveryCount(message.properties)
          : { properties: message.properties, count: 0 }
      const isKnown = !hasMoreRoutes(properties) && leadsOnlyTo(message.exchange, message.routingKey, queue.name)
      into.spool.append(encodeMessage({ ...message, properties, exchange: isKnown ? message.exchange : undefined }))
      into.count++
      into.deliveries = Math.max(into.deliveries, count)
    })
    try {
      await taking.begin(readable)
      return { channel, taking, unread, stored }
    } catch (error) {
      for (const { spool } of stored.values()) spool.close()
      const refused = error instanceof EnvError ? error.details?.['queue'] : undefined
      if (typeof refused !== 'string') throw error
      unread[refused] = (error as Error).message
    }
  }
}

/**
 * Waits for a moment where a message seems to be in somebody's hands and nobody consumes: the management plugin may be telling of what is over. Where
 * it can only be telling of our own last capture, it does not matter.
 */
export async function quietDefinitions(
  { management, broker }: Link,
  connection: Connection,
  privateDirectory: string,
  { live }: CaptureOptions,
): Promise<LiveDefinitions> {
  const deadline = performance.now() + (live ? 0 : staleMs)
  const { major } = await brokerVersion(management)
  const isOurs = wereOurs(privateDirectory)
  const channel = await connection.channel()
  for (;;) {
    const { definitions, queues: listed } = await readDefinitions(management, broker.vhost, major)
    const queues = listed.map((queue) =>
      isOurs(queue.name, queue.unacknowledged) ? { ...queue, unacknowledged: 0 } : queue,
    )
    const held = queues.filter((queue) => queue.unacknowledged > 0 && whyUnread(queue, broker) === undefined)
    const counts = await Promise.all(held.map(({ name }) => channel.countQueue(name)))
    if (counts.every(({ consumers }) => consumers > 0) || performance.now() > deadline) {
      await channel.close()
      return { definitions, queues }
    }
    await sleep(300)
  }
}
