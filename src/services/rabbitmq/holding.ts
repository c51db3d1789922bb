import { hash } from 'node:crypto'
import { mkdirSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { EnvError } from '../../domain/errors.ts'
import type { Channel, Message } from './channel.ts'
import type { Connection } from './connection.ts'
import {
  type Definitions,
  type LiveDefinitions,
  type LiveQueue,
  readDefinitions,
  type VhostDefinition,
} from './definitions.ts'
import type { Link } from './link.ts'
import { MessageSet, type SetIndex } from './message-set.ts'
import { encodeMessage } from './messages.ts'
import { hasMoreRoutes, withoutDeliveryCount } from './properties.ts'
import { whyUnread } from './readable.ts'
import { routesOf } from './routes.ts'
import { Spool } from './spool.ts'
import { Taking } from './taking.ts'

type Held = {
  readonly file: string
  spool: Spool
  files: string[]
  firstSum: string | undefined
  count: number
  isPlain: boolean
  /** Of what is in our hands and not acknowledged, in order; so many of them are kept in files. */
  tags: bigint[]
  kept: number
  /** So many messages are in the files in all. */
  keptCount: number
  /** Digests of what came after the last exchange. */
  since: string[]
}

/** All ready messages of a vhost in our hands, kept in files of a capture as they come. Ends with the connection: then all are in their queues again. */
export class Holding {
  readonly connection: Connection
  readonly channel: Channel
  readonly number: number
  readonly live: LiveDefinitions
  readonly #link: Link
  readonly #taking: Taking
  readonly #directory: string
  readonly #held = new Map<string, Held>()
  #checkUser: (queue: string, properties: Buffer) => void
  #refused: Error | undefined

  private constructor(
    link: Link,
    parts: {
      connection: Connection
      channel: Channel
      live: LiveDefinitions
      directory: string
      checkUser: Holding['checkUser']
    },
  ) {
    this.#link = link
    this.connection = parts.connection
    this.channel = parts.channel
    this.live = parts.live
    this.#checkUser = parts.checkUser
    mkdirSync(parts.directory, { recursive: true, mode: 0o700 })
    this.number =
      1 +
      readdirSync(parts.directory).reduce(
        (most, name) => Math.max(most, Number(/^capture-(\d+)$/.exec(name)?.[1] ?? 0)),
        0,
      )
    this.#directory = path.join(parts.directory, `capture-${this.number}`)
    mkdirSync(this.#directory, { mode: 0o700 })
    const leadsOnlyTo = routesOf(parts.live.definitions)
    this.#taking = new Taking(this.channel, (queue, { message, tag }) => {
      const held = this.#of(queue.name)
      const properties =
        queue.kind === 'quorum' ? withoutDeliveryCount(message.properties).properties : message.properties
      const isKnown = !hasMoreRoutes(properties) && leadsOnlyTo(message.exchange, message.routingKey, queue.name)
      held.spool.append(encodeMessage({ ...message, properties, exchange: isKnown ? message.exchange : undefined }))
      held.count++
      held.isPlain &&= isKnown && message.exchange === ''
      held.tags.push(tag)
      held.since.push(digestOf({ ...message, properties }))
      try {
        this.#checkUser(queue.name, properties)
      } catch (error) {
        this.#refused ??= error as Error
      }
    })
  }

  get checkUser(): (queue: string, properties: Buffer) => void {
    return this.#checkUser
  }

  static async begin(
    link: Link,
    connection: Connection,
    options: { directory: string; major: number; only: readonly string[] | null; checkUser: Holding['checkUser'] },
  ): Promise<Holding> {
    const { directory, major, only, checkUser } = options
    const live = await readDefinitions(link.management, link.broker.vhost, major)
    const channel = await connection.channel()
    await channel.beginTransactions()
    const holding = new Holding(link, { connection, channel, live, directory, checkUser })
    await holding.take(live.queues.filter((queue) => only?.includes(queue.name) ?? true))
    return holding
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
    if (this.#refused) throw this.#refused
  }

  has(queue: string): boolean {
    return this.#taking.queues.has(queue)
  }

  sum(queue: string): string {
    const held = this.#of(queue)
    return held.firstSum ?? held.spool.sha256()
  }

  /** What is in our hands, durable, as the capture of this holding. Again, for some queues: what has come to them since is added. */
  async keep(definitions: Definitions, vhost: VhostDefinition | null, more?: ReadonlySet<string>): Promise<MessageSet> {
    const queues: SetIndex['queues'][number][] = []
    for (const name of [...this.#taking.queues.keys()].sort()) {
      const held = this.#of(name)
      held.firstSum ??= held.spool.sha256()
      const isWanted = more?.has(name) ?? true
      if (held.files.length === 0 || (isWanted && held.spool.bytes > 0)) {
        held.spool.sync()
        held.spool.close()
        held.files.push(held.files.length === 0 ? held.file : `${held.file}-${held.files.length}`)
        held.spool = new Spool(path.join(this.#directory, `${held.file}-${held.files.length}`))
      }
      if (isWanted) {
        held.kept = held.tags.length
        held.keptCount = held.count
      }
      const { files, keptCount: count, firstSum, isPlain } = held
      queues.push({ name, files: [...files], count, bytes: 0, sha256: firstSum, isPlain })
    }
    return MessageSet.write(this.#directory, { definitions, vhost, queues })
  }

  /** Removes, with the transaction, what is kept of these queues. What came after that stays in them. */
  acknowledge(queues: ReadonlySet<string>): void {
    const tags: bigint[] = []
    for (const queue of queues) {
      const held = this.#of(queue)
      for (const tag of held.tags.splice(0, held.kept)) tags.push(tag)
      held.since.splice(0, held.kept)
      held.kept = 0
    }
    const last = tags.reduce((most, tag) => (tag > most ? tag : most), 0n)
    if (last === 0n) return
    const isAll = [...this.#held.values()].every(({ tags: [first] }) => first === undefined || first > last)
    if (isAll) this.channel.acknowledgeUpTo(last)
    else for (const tag of tags) this.channel.acknowledge(tag)
  }

  /** Whether a queue gives its messages in another order than that in which they came. */
  hasPriorities(queue: string): boolean {
    return this.#taking.queues.get(queue)?.queue.arguments['x-max-priority'] !== undefined
  }

  /** Digests of what came to a queue since it was acknowledged, in order. */
  since(queue: string): readonly string[] {
    return this.#held.get(queue)?.since ?? []
  }

  /** A queue that is deleted, or that we have from anew. */
  forget(queue: string): void {
    this.#taking.queues.delete(queue)
    const held = this.#held.get(queue)
    if (held) {
      held.tags = []
      held.since = []
      held.kept = 0
    }
  }

  async release(): Promise<void> {
    for (const { spool } of this.#held.values()) spool.close()
    if (!this.connection.ended && !this.channel.ended) {
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
  }

  #of(queue: string): Held {
    let held = this.#held.get(queue)
    if (!held) {
      const file = hash('sha256', queue).slice(0, 16)
      held = {
        file,
        spool: new Spool(path.join(this.#directory, file)),
        files: [],
        firstSum: undefined,
        count: 0,
        isPlain: true,
        tags: [],
        kept: 0,
        keptCount: 0,
        since: [],
      }
      this.#held.set(queue, held)
    }
    return held
  }
}

/** Of all that a consumer sees but the exchange. */
export function digestOf({ routingKey, properties, body }: Omit<Message, 'exchange'>): string {
  return hash('sha256', encodeMessage({ exchange: undefined, routingKey, properties, body }))
}

export function busyConsumers(name: string): EnvError {
  return new EnvError('busy', `${name}: not all messages could be taken in time`, {
    hint: 'stop those who consume, or wait until they are done, and run the command again',
  })
}
