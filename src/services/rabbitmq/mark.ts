import type { Channel, Delivery } from './channel.ts'
import type { Link } from './link.ts'
import { part } from './management.ts'
import { replyOf } from './reply.ts'

/**
 * How far a swap is: one message in a queue of ours, written in the same transaction that exchanges the messages. None: nothing was exchanged.
 * `phase` 1: queues that have to be deleted or made anew are left to do.
 */
export type Mark = {
  readonly to: 'target' | 'before'
  readonly phase: 1 | 2
  readonly capture: number
  /** The set of what came after that capture and was taken away too. */
  readonly late?: string
}

/** Persistent; no other property. */
const properties = Buffer.from([0x10, 0x00, 2])

/** Looks, and puts it back. */
export async function readMark(channel: Channel, queue: string): Promise<Mark | undefined> {
  const other = await channel.connection.channel()
  try {
    const delivery = await other.get(queue)
    if (!delivery) return undefined
    other.giveBackUpTo(delivery.tag)
    // Answered when it is back in its queue.
    await other.countQueue(queue)
    return JSON.parse(delivery.message.body.toString()) as Mark
  } catch (error) {
    if (replyOf(error) === 404) return undefined
    throw error
  } finally {
    await other.close()
  }
}

/** Within the transaction of this channel. */
export function writeMark(channel: Channel, queue: string, old: Delivery | undefined, mark: Mark | undefined): void {
  if (mark) channel.publish({ exchange: '', routingKey: queue, properties, body: Buffer.from(JSON.stringify(mark)) })
  if (old) channel.acknowledge(old.tag)
}

export async function declareMarkQueue({ management, broker }: Link, queue: string): Promise<void> {
  await management.put(`queues/${part(broker.vhost)}/${part(queue)}`, {
    durable: true,
    auto_delete: false,
    arguments: { 'x-queue-type': 'classic' },
  })
}
