import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { canonicalJson, type Json } from '../../domain/canonical-json.ts'
import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Capture, CaptureOptions, ServiceContext } from '../service-driver.ts'
import type { Channel } from './channel.ts'
import type { Connection } from './connection.ts'
import {
  brokerVersion,
  type LiveDefinitions,
  type LiveQueue,
  readDefinitions,
  readVhost,
  sameDefinition,
  type VhostDefinition,
} from './definitions.ts'
import type { Link } from './link.ts'
import { encodeMessage } from './messages.ts'
import { hasMoreRoutes, withoutDeliveryCount } from './properties.ts'
import { isNearLimit, whyUnread } from './readable.ts'
import { absentRecord, type Captured, presentRecord } from './record.ts'
import { routesOf } from './routes.ts'
import { Spool } from './spool.ts'
import { Taking, untilGivenBack } from './taking.ts'

/** As long as the management plugin may need to notice that a message is in nobody's hands any more. */
const staleMs = 7000
const longestReadAheadMs = 600_000

/** A capture of a vhost that is not there. */
class AbsentCapture implements Capture {
  readonly #link: Link
  readonly #name: string

  constructor(link: Link, name: string) {
    this.#link = link
    this.#name = name
  }

  async hold(): Promise<void> {}

  async point(): Promise<void> {
    if (!(await this.#link.openIfThere())) return
    throw new EnvError('busy', `${this.#name}: the vhost was made while it was being captured`, {
      hint: 'run the command again',
    })
  }

  async release(): Promise<void> {}

  async copy(): Promise<ServiceRecord> {
    return absentRecord(this.#name, 'frozen')
  }

  async close(): Promise<void> {
    await this.#link.close()
  }
}

type Stored = { readonly spool: Spool; count: number; deliveries: number }

type Prepared = {
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

/** One capture of a vhost: all ready messages are taken ahead, and given back right after the point. Publishers never wait; consumers get nothing meanwhile. */
export class VhostCapture implements Capture {
  readonly #prepared: Prepared
  readonly #context: ServiceContext
  readonly #sink: ContentSink
  readonly #options: CaptureOptions
  readonly #live = new Set<string>()
  #isHeld = false
  #wasHeld = false
  #isCut = false
  #givenBack: Promise<void> | undefined

  private constructor(prepared: Prepared, context: ServiceContext, sink: ContentSink, options: CaptureOptions) {
    this.#prepared = prepared
    this.#context = context
    this.#sink = sink
    this.#options = options
  }

  static async open(link: Link, context: ServiceContext, sink: ContentSink, options: CaptureOptions): Promise<Capture> {
    const connection = await link.openIfThere()
    if (!connection) return new AbsentCapture(link, context.name)
    const { management, broker } = link
    const version = await brokerVersion(management)
    const live = await quietDefinitions(link, version.major, options)
    const vhost = await readVhost(management, broker.vhost)
    await mkdir(context.privateDirectory, { recursive: true, mode: 0o700 })
    const directory = mkdtempSync(path.join(context.privateDirectory, 'capture-'))
    try {
      const prepared = {
        link,
        connection,
        version,
        live,
        vhost,
        directory,
        ...(await take(link, connection, live, directory)),
      }
      const capture = new VhostCapture(prepared, context, sink, options)
      await prepared.taking.drain(longestReadAheadMs, context.signal)
      return capture
    } catch (error) {
      rmSync(directory, { recursive: true, force: true })
      throw error
    }
  }

  /** Publishers cannot be made to wait. What is still coming is awaited, so that the cut takes no time. */
  async hold(limitMs: number): Promise<void> {
    await this.#prepared.taking.drain(limitMs)
    this.#isHeld = true
  }

  /**
   * The cut of each queue is a moment of its own. When nothing was published to any of them until all were cut, all have stood still
   * from the first to the last of these moments: it is one point. Where others consume, nobody can tell.
   */
  async point(): Promise<void> {
    const { taking, channel } = this.#prepared
    await taking.cut({ goOn: false })
    this.#isCut = true
    this.#wasHeld = this.#isHeld
    const taken = [...taking.queues.values()]
    const after = await Promise.all(taken.map(({ queue }) => channel.countQueue(queue.name)))
    for (const [index, { queue, others, got, begun }] of taken.entries()) {
      const { ready, consumers } = after[index]!
      // A quorum queue counts a consumer that was cancelled for as long as it has messages in hand.
      const ours = queue.kind === 'quorum' && got > 0 ? begun : 0
      if (ready > 0 || consumers > ours || others > 0 || queue.unacknowledged > 0) this.#live.add(queue.name)
    }
    for (const name of Object.keys(this.#prepared.unread)) this.#live.add(name)
  }

  async release(): Promise<void> {
    this.#isHeld = false
    // After an attempt to hold all services that came to nothing there is no point yet, and all stays in our hands for the next one.
    if (!this.#isCut) return
    this.#givenBack ??= this.#giveBack()
    this.#givenBack.catch(() => {})
  }

  async copy(): Promise<ServiceRecord> {
    const { link, live, vhost, unread, stored, version, taking } = this.#prepared
    const { name, signal } = this.#context
    this.#givenBack ??= this.#giveBack()
    await this.#givenBack
    this.#refuseNearLimit()
    const now = await readDefinitions(link.management, link.broker.vhost, version.major)
    if (!sameDefinition(now.definitions, live.definitions)) this.#live.add('definitions')
    const queues = new Map<string, { content: Captured['definitions']; count: number }>()
    for (const [queue, { spool, count }] of stored) {
      signal.throwIfAborted()
      const content = await this.#sink.write('rows', asynchronous(spool.read()))
      this.#options.progress(content.bytes)
      queues.set(queue, { content, count })
    }
    const frozen = this.#wasHeld && this.#live.size === 0
    return presentRecord(name, {
      definitions: await this.#sink.write('rows', definitionBytes(live.definitions)),
      queues,
      level: frozen ? 'frozen' : 'live',
      live: frozen ? [] : this.#live.size > 0 ? [...this.#live] : [...taking.queues.keys()],
      versions: { rabbitmq: version.version },
      facts: { rung: describeRung(this.#live), vhost: vhost ?? null, unread },
    })
  }

  async close(): Promise<void> {
    const { link, stored, directory } = this.#prepared
    await this.#givenBack?.catch(() => {})
    await link.close()
    for (const { spool } of stored.values()) spool.close()
    rmSync(directory, { recursive: true, force: true })
  }

  async #giveBack(): Promise<void> {
    const { taking, channel } = this.#prepared
    await taking.settle()
    taking.giveBack()
    await untilGivenBack(channel, taking.queues.values())
    await channel.close()
  }

  /** They are in their queue again, with one delivery more: this time nothing was lost. */
  #refuseNearLimit(): void {
    const { taking, stored } = this.#prepared
    for (const { queue } of taking.queues.values()) {
      const deliveries = stored.get(queue.name)!.deliveries
      if (!isNearLimit(queue, deliveries)) continue
      throw new EnvError(
        'refused',
        `${this.#context.name}: a message in ${queue.name} has been delivered ${deliveries + 1} times, and the queue gives it up after ${queue.deliveryLimit}`,
        { hint: 'let an application process it, or leave deliveryLimit: spend out of the configuration' },
      )
    }
  }
}

/** Takes what can be read. A queue that somebody has for himself alone is left out. */
async function take(
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
      const refused = error instanceof EnvError ? error.details?.['queue'] : undefined
      if (typeof refused !== 'string') throw error
      for (const { spool } of stored.values()) spool.close()
      unread[refused] = (error as Error).message
    }
  }
}

/** Waits for a moment where a message seems to be in somebody's hands: the management plugin may be telling of our own last capture. */
async function quietDefinitions(link: Link, major: number, { live }: CaptureOptions): Promise<LiveDefinitions> {
  const deadline = performance.now() + (live ? 0 : staleMs)
  for (;;) {
    const read = await readDefinitions(link.management, link.broker.vhost, major)
    const held = read.queues.filter((queue) => queue.unacknowledged > 0 && whyUnread(queue, link.broker) === undefined)
    if (held.length === 0 || performance.now() > deadline) return read
    await sleep(300)
  }
}

export function definitionBytes(definitions: LiveDefinitions['definitions']): Buffer {
  return Buffer.from(`${canonicalJson(definitions as unknown as Json)}\n`)
}

function describeRung(live: ReadonlySet<string>): string {
  return live.size === 0 ? frozenRung : liveRung
}

export const frozenRung = 'frozen: nobody consumes, and nothing was published while the queues were cut'
export const liveRung =
  'live: what consumers have in hand is not seen, and what is published meanwhile may be in one queue and not in another'

async function* asynchronous(parts: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* parts
}
