import type { Broker } from './broker.ts'
import type { LiveQueue } from './definitions.ts'

/** Why the messages of a queue are left alone; undefined where they are read. */
export function whyUnread(queue: LiveQueue, broker: Pick<Broker, 'spendsDeliveries'>): string | undefined {
  if (queue.kind === 'stream') return 'it is a stream: its definition is kept, its messages are not'
  if (queue.deliveryLimit !== undefined && !broker.spendsDeliveries) {
    return `it is a quorum queue that gives up a message after ${queue.deliveryLimit} deliveries, and reading is one; deliveryLimit: spend reads it all the same`
  }
  return undefined
}

/** So many deliveries more, and a message is lost to the application: reading on would be what loses it. */
const leastLeft = 2

export function isNearLimit(queue: LiveQueue, count: number): boolean {
  return queue.deliveryLimit !== undefined && count + 1 + leastLeft > queue.deliveryLimit
}
