import { hash } from 'node:crypto'
import { mkdirSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { EnvError } from '../../domain/errors.ts'
import type { Channel } from './channel.ts'
import type { Connection } from './connection.ts'
import {
  type Definitions,
  type LiveDefinitions,
  type LiveQueue,
  readDefinitions,
  type VhostDefinition,
} from './definitions.ts'
import { type Entry, HeldQueue } from './held-queue.ts'
import type { Link } from './link.ts'
import { MessageSet, type SetIndex, type SetQueue } from './message-set.ts'
import { digestOf } from './messages.ts'
import { hasMoreRoutes, withoutDeliveryCount } from './properties.ts'
import { whyUnread } from './readable.ts'
import { routesOf } from './routes.ts'
import { Taking } from './taking.ts'

type CheckUser = (queue: string, properties: Buffer) => void

type Parts = {
  readonly connection: Connection
  readonly channel: Channel
  readonly live: LiveDefinitions
  readonly directory: string
  readonly checkUser: CheckUser
}

/** All ready messages of a vhost in our hands, kept in files of a capture as they come. Ends with the connection: then all are in their queues again. */
export class Holding {
  readonly connection: Connection
  readonly channel: Channel
  /** Names the capture: one more than the captures that are there. */
  readonly number: number
  readonly live: LiveDefinitions
  readonly #link: Link
  readonly #taking: Taking
  readonly #directory: string
  readonly #held = new Map<string, HeldQueue>()
  #refused: Error | undefined
  #isKept = false

  private constructor(link: Link, { connection, channel, live, directory, checkUser }: Parts) {
    this.#link = link
    this.connection = connection
    this.channel = channel
    this.live = live
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.number =
      1 +
      readdirSync(directory).reduce((most, name) => Math.max(most, Number(/^capture-(\d+)$/.exec(name)?.[1] ?? 0)), 0)
    this.#directory = path.join(directory, `capture-${this.number}`)
    mkdirSync(this.#directory, { mode: 0o700 })
    const leadsOnlyTo = routesOf(live.definitions)
    this.#taking = new Taking(this.channel, (queue, { message, tag }) => {
      const properties =
        queue.kind === 'quorum' ? withoutDeliveryCount(message.properties).properties : message.properties
      const isKnown = !hasMoreRoutes(properties) && leadsOnlyTo(message.exchange, message.routingKey, queue.name)
      let isForeign = false
      try {
        checkUser(queue.name, properties)
      } catch (error) {
        isForeign = true
        this.#refused ??= error as Error
      }
      const stored = { ...message, properties, exchange: isKnown ? message.exchange : undefined }
      this.#of(queue.name).add(stored, { tag, digest: digestOf(stored), isForeign })
    })
  }

  static async begin(
    link: Link,
    connection: Connection,
    options: { directory: string; major: number; only: readonly string[] | null; checkUser: CheckUser },
  ): Promise<Holding> {
    const { directory, major, only, checkUser } = options
    const live = await readDefinitions(link.management, link.broker.vhost, major)
    const channel = await connection.channel()
    await channel.beginTransactions()
    const holding = new Holding(link, { connection, channel, live, directory, checkUser })
    await holding.take(live.queues.filter((queue) => only?.includes(queue.name) ?? true))
    return holding
  }

  /** All is in its queues again, or has to be taken anew. */
  get isOver(): boolean {
    return this.connection.ended !== undefined || this.channel.ended !== undefined || this.#taking.isStale
  }

  /** A second capture needs a holding of its own. */
  get isKept(): boolean {
    return this.#isKept
  }

  get queueNames(): readonly string[] {
    return [...this.#taking.queues.keys()].sort()
  }

  async take(queues: readonly LiveQueue[]): Promise<void> {
    await this.#taking.begin(queues.filter((queue) => whyUnread(queue, this.#link.broker) === undefined))
  }

  drain(limitMs: number): Promise<boolean> {
    return this.#taking.drain(limitMs)
  }

  /** Everything that is in the queues now is in our hands, and what comes later comes to us too. */
  async cut(): Promise<void> {
    await this.#taking.drain(Number.POSITIVE_INFINITY)
    await this.#taking.cut({ goOn: true })
    await this.#taking.settle()
  }

  /** What could not be published again must not be replaced. */
  refuseForeign(): void {
    if (this.#refused) throw this.#refused
  }

  has(queue: string): boolean {
    return this.#taking.queues.has(queue)
  }

  /** SHA-256 of what was kept of a queue at first. */
  sum(queue: string): string {
    return this.#of(queue).sum
  }

  /** What is in our hands of a queue and was not acknowledged, in the order in which it came. */
  entries(queue: string): readonly Entry[] {
    return this.#held.get(queue)?.entries ?? []
  }

  /** All that is in our hands, durable, as the capture of this holding; it is chosen for the next `acknowledge`. */
  async keep(definitions: Definitions, vhost: VhostDefinition | null): Promise<MessageSet> {
    this.#isKept = true
    const queues: SetQueue[] = this.queueNames.map((name) => {
      const held = this.#of(name)
      return { name, ...held.keep(), sha256: held.sum, isPlain: held.isPlain }
    })
    return MessageSet.write(this.#directory, { definitions, vhost, queues })
  }

  /** What has come to these queues since, added to a set that is kept already, durable; chosen for the next `acknowledge`. */
  async keepMore(set: MessageSet, queues: Iterable<string>): Promise<MessageSet> {
    return this.#add(
      set,
      [...queues].filter((name) => this.has(name)).map((name) => [name, this.#of(name).keep()]),
    )
  }

  /** Some of what has come, likewise; nothing else is chosen then. */
  async keepOnly(set: MessageSet, late: ReadonlyMap<string, readonly Entry[]>): Promise<MessageSet> {
    return this.#add(
      set,
      [...late].map(([name, entries]) => [name, this.#of(name).keepOnly(entries)]),
    )
  }

  /** Chooses what the next `acknowledge` removes of a queue, and nothing else of it. */
  choose(queue: string, isWanted: (entry: Entry) => boolean): void {
    for (const entry of this.entries(queue)) entry.isChosen = isWanted(entry)
  }

  /** Removes, with the transaction, what is chosen in these queues. What came after that stays in them. */
  acknowledge(queues: Iterable<string>): void {
    const tags = [...queues].flatMap((queue) => this.#held.get(queue)?.takeChosen() ?? [])
    const last = tags.reduce((most, tag) => (tag > most ? tag : most), 0n)
    if (last === 0n) return
    const isAll = [...this.#held.values()].every(({ entries: [first] }) => first === undefined || first.tag > last)
    if (isAll) this.channel.acknowledgeUpTo(last)
    else for (const tag of tags) this.channel.acknowledge(tag)
  }

  /** Whether a queue gives its messages in another order than that in which they came. */
  hasPriorities(queue: string): boolean {
    return this.#taking.queues.get(queue)?.queue.arguments['x-max-priority'] !== undefined
  }

  /** A queue that is deleted, or that we have from anew. */
  forget(queue: string): void {
    this.#taking.queues.delete(queue)
    const held = this.#held.get(queue)
    if (held) held.entries = []
  }

  /** How many messages of each queue were in our hands at most, where nobody else consumes. */
  get most(): ReadonlyMap<string, number> {
    const alone = [...this.#taking.queues.values()].filter(({ others }) => others === 0)
    return new Map(alone.map(({ queue: { name } }) => [name, this.#held.get(name)?.most ?? 0]))
  }

  async release(): Promise<void> {
    if (!this.isOver) {
      try {
        this.#taking.cut({ goOn: false }).catch(() => {})
        await this.#taking.settle()
        this.#taking.giveBack()
        await this.channel.commit()
        const names = [...this.#taking.queues.keys()]
        await Promise.all(names.map((name) => this.channel.countQueue(name)))
      } catch {
        // What the end of the connection does is the same.
      }
    }
    await this.connection.close()
    for (const held of this.#held.values()) held.close()
  }

  #add(set: MessageSet, more: (readonly [string, { files: readonly string[]; count: number }])[]): Promise<MessageSet> {
    const queues = new Map(set.index.queues.map((queue) => [queue.name, queue]))
    const at = path.relative(set.directory, this.#directory)
    for (const [name, { files, count }] of more) {
      const { isPlain, sum } = this.#of(name)
      const have = queues.get(name) ?? { name, files: [], count: 0, sha256: sum, isPlain: true }
      queues.set(name, {
        ...have,
        files: [...have.files, ...files.map((file) => path.join(at, file))],
        count: have.count + count,
        isPlain: have.isPlain && isPlain,
      })
    }
    const index: SetIndex = { ...set.index, queues: [...queues.values()] }
    return MessageSet.write(set.directory, index)
  }

  #of(queue: string): HeldQueue {
    let held = this.#held.get(queue)
    if (!held) {
      held = new HeldQueue(this.#directory, hash('sha256', queue).slice(0, 16))
      this.#held.set(queue, held)
    }
    return held
  }
}

export function busyConsumers(name: string): EnvError {
  return new EnvError('busy', `${name}: not all messages could be taken in time`, {
    hint: 'stop those who consume, or wait until they are done, and run the command again',
  })
}
