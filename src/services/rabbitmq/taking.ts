import { setTimeout as sleep } from 'node:timers/promises'
import { EnvError } from '../../domain/errors.ts'
import type { Channel, Delivery } from './channel.ts'
import type { LiveQueue } from './definitions.ts'
import { replyOf } from './reply.ts'

/** Before all others: while we take, no other consumer gets a message. */
const priority = 2_147_483_647
/** The most that a consumer of a quorum queue can have unacknowledged; without a number it would be 2000. */
const quorumPrefetch = 65_535
const quietMs = 100
const stuckMs = 10_000

export type TakenQueue = {
  readonly queue: LiveQueue
  /** How many were ready before we began. */
  readonly atFirst: number
  /** Other consumers, before we began. */
  readonly others: number
  got: number
  lastAt: number
  consumers: string[]
  /** How many consumers of ours there were. */
  begun: number
}

/**
 * Takes all ready messages of some queues by consuming, and keeps them unacknowledged: they are nobody else's until they are given back, or
 * this connection ends in any way; then each is in its queue again, at its place.
 */
export class Taking {
  readonly queues = new Map<string, TakenQueue>()
  /** Of all messages, in the order in which they came. */
  lastTag = 0n
  /** A queue was deleted and made again: it has to be taken anew. */
  isStale = false
  readonly #channel: Channel
  readonly #byConsumer = new Map<string, TakenQueue>()
  #next = 0

  constructor(channel: Channel, onMessage: (queue: LiveQueue, delivery: Delivery) => void) {
    this.#channel = channel
    channel.onDelivery = (delivery) => {
      const taken = this.#byConsumer.get(delivery.consumer)!
      taken.got++
      taken.lastAt = performance.now()
      this.lastTag = delivery.tag
      onMessage(taken.queue, delivery)
    }
  }

  async begin(queues: readonly LiveQueue[]): Promise<void> {
    // A limit counts for consumers that begin after it was set.
    for (const queue of queues.filter(({ kind }) => kind === 'classic')) await this.#consume(queue)
    const quorum = queues.filter(({ kind }) => kind === 'quorum')
    if (quorum.length > 0) await this.#channel.prefetch(quorumPrefetch)
    for (const queue of quorum) await this.#consume(queue)
  }

  async #consume(queue: LiveQueue): Promise<void> {
    let taken = this.queues.get(queue.name)
    if (!taken) {
      const { ready, consumers } = await this.#channel.countQueue(queue.name)
      taken = { queue, atFirst: ready, others: consumers, got: 0, lastAt: performance.now(), consumers: [], begun: 0 }
      this.queues.set(queue.name, taken)
    }
    const consumer = `git-env-${this.#next++}`
    this.#byConsumer.set(consumer, taken)
    taken.consumers.push(consumer)
    taken.begun++
    try {
      await this.#channel.consume(queue.name, consumer, priority)
    } catch (error) {
      if (replyOf(error) !== 403) throw error
      throw new EnvError('busy', (error as Error).message, {
        cause: error,
        hint: `stop the consumer that has ${queue.name} for itself alone, or grant reading`,
        details: { queue: queue.name },
      })
    }
  }

  /** Whether nothing is left in the queues. Looks once; a quorum queue answers before what it has sent has come. */
  async isDrained(): Promise<boolean> {
    const now = performance.now()
    const all = [...this.queues.values()]
    const counts = await Promise.all(all.map(({ queue }) => this.#channel.countQueue(queue.name)))
    let isDrained = true
    for (const [index, taken] of all.entries()) {
      const { queue, got, atFirst, lastAt, consumers } = taken
      if (queue.kind === 'classic' && counts[index]!.consumers < consumers.length) {
        this.isStale = true
        throw madeAnew(queue.name)
      }
      if (counts[index]!.ready > 0) {
        isDrained = false
        if (queue.kind === 'quorum' && got >= consumers.length * quorumPrefetch) await this.#consume(queue)
      } else if (queue.kind === 'quorum' && got < atFirst && now - lastAt < stuckMs) isDrained = false
      else if (queue.kind === 'quorum' && got > 0 && now - lastAt < quietMs) isDrained = false
    }
    return isDrained
  }

  /** Waits until nothing is left in the queues, or the time is over. */
  async drain(limitMs: number, signal?: AbortSignal): Promise<boolean> {
    const deadline = performance.now() + limitMs
    for (let pauseMs = 2; ; pauseMs = Math.min(pauseMs * 2, 50)) {
      if (await this.isDrained()) return true
      if (performance.now() > deadline) return false
      await sleep(pauseMs, undefined, signal ? { signal } : {})
    }
  }

  /** What was in the queues at this moment has come when this resolves. Other consumers get what comes later only where `goOn` is not wanted. */
  async cut({ goOn }: { readonly goOn: boolean }): Promise<void> {
    const before = [...this.queues.values()].map((taken) => ({ taken, consumers: taken.consumers.splice(0) }))
    if (goOn) await this.begin(before.map(({ taken }) => taken.queue))
    await Promise.all(before.flatMap(({ consumers }) => consumers.map((consumer) => this.#channel.cancel(consumer))))
  }

  /** After a cut: a quorum queue sends what it has counted as ours a little later. */
  async settle(): Promise<void> {
    const isOwing = ({ queue, got, atFirst, lastAt }: TakenQueue) => {
      const quiet = performance.now() - lastAt
      return queue.kind === 'quorum' && ((got < atFirst && quiet < stuckMs) || (got > 0 && quiet < quietMs))
    }
    while ([...this.queues.values()].some(isOwing)) await sleep(10)
  }

  giveBack(): void {
    if (this.lastTag > 0n) this.#channel.giveBackUpTo(this.lastTag)
  }
}

/** What we had of it is gone with it, and nobody would tell us of what came to the new one. */
function madeAnew(queue: string): EnvError {
  return new EnvError('busy', `somebody has deleted the queue ${queue} and made it again meanwhile`, {
    hint: 'run the command again',
  })
}

/** Resolves when a queue has so many messages again. What others take meanwhile is not waited for. */
export async function untilGivenBack(channel: Channel, taken: Iterable<TakenQueue>): Promise<void> {
  const deadline = performance.now() + stuckMs
  for (const { queue, got, others } of taken) {
    // Answered after all was given back; only a quorum queue answers earlier.
    let { ready } = await channel.countQueue(queue.name)
    while (queue.kind === 'quorum' && others === 0 && ready < got && performance.now() < deadline) {
      await sleep(10)
      ready = (await channel.countQueue(queue.name)).ready
    }
  }
}
