import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { canonicalJson, type Json } from '../../domain/canonical-json.ts'
import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Capture, CaptureOptions, ServiceContext } from '../service-driver.ts'
import { AbsentCapture } from './absent-capture.ts'
import { brokerVersion, type LiveDefinitions, readDefinitions, readVhost, sameDefinition } from './definitions.ts'
import { noteGivenBack } from './given-back.ts'
import type { Link } from './link.ts'
import { type Prepared, quietDefinitions, readAhead } from './read-ahead.ts'
import { isNearLimit } from './readable.ts'
import { type Captured, presentRecord } from './record.ts'
import { untilGivenBack } from './taking.ts'

const longestReadAheadMs = 600_000

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
    const live = await quietDefinitions(link, connection, context.privateDirectory, options)
    const vhost = await readVhost(management, broker.vhost)
    await mkdir(context.privateDirectory, { recursive: true, mode: 0o700 })
    const directory = mkdtempSync(path.join(context.privateDirectory, 'capture-'))
    const ahead = await readAhead(link, connection, live, directory).catch((error: unknown) => {
      rmSync(directory, { recursive: true, force: true })
      throw error
    })
    const prepared = { link, connection, version, live, vhost, directory, ...ahead }
    const capture = new VhostCapture(prepared, context, sink, options)
    try {
      await prepared.taking.drain(longestReadAheadMs, context.signal)
      return capture
    } catch (error) {
      await capture.close()
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
    const taken = [...taking.queues.values()]
    await untilGivenBack(channel, taken)
    await channel.close()
    const ours = taken.filter(({ queue }) => !this.#live.has(queue.name))
    noteGivenBack(this.#context.privateDirectory, new Map(ours.map(({ queue, got }) => [queue.name, got])))
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
