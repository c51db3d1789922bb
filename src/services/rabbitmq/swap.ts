import { rm } from 'node:fs/promises'
import path from 'node:path'
import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged, SwapState } from '../../domain/swap.ts'
import type { ServiceContext, ServiceSwap } from '../service-driver.ts'
import { definitionBytes } from './capture.ts'
import {
  brokerVersion,
  type Definitions,
  DefinitionWriter,
  noDefinitions,
  readDefinitions,
  readVhost,
  type VhostDefinition,
} from './definitions.ts'
import { dropOwn, exchange, type Published } from './exchange.ts'
import { busyConsumers, Holding } from './holding.ts'
import type { Link } from './link.ts'
import { type Mark, readMark } from './mark.ts'
import { MessageSet } from './message-set.ts'
import { type OwnNames, ownNames } from './names.ts'
import { asBefore, asStaged, fromStaged, onlyQueues, planOf, type StagedVhost } from './plan.ts'
import { absentRecord, type Captured, factsOf, presentRecord, queueOf } from './record.ts'
import { userCheck } from './stage.ts'

const longestTakingMs = 600_000

/** Messages are exchanged within the live queues, which keep their names, their bindings and their consumers. */
export class VhostSwap implements ServiceSwap {
  readonly #link: Link
  readonly #context: ServiceContext
  readonly #names: OwnNames
  #staged: StagedVhost
  #holding: Holding | undefined
  /** What this process has published: only that can be compared, since others may have consumed what another has. */
  #published: Published | undefined

  constructor(link: Link, context: ServiceContext, staged: Staged) {
    this.#link = link
    this.#context = context
    this.#staged = fromStaged(staged)
    this.#names = ownNames(this.#staged.id, context.name, context.privateDirectory)
  }

  async inspect(): Promise<SwapState> {
    const { targetAbsent, liveAbsent } = this.#staged
    const connection = await this.#link.openIfThere()
    if (!connection) return targetAbsent ? 'after' : liveAbsent ? 'before' : 'between'
    try {
      if (await this.#isUnfinishedVhost()) return 'between'
      if (targetAbsent) return 'before'
      const mark = await readMark(await connection.channel(), this.#names.markQueue)
      if (mark?.to === 'target' && mark.phase === 2) return 'after'
      if (mark) return 'between'
      if (liveAbsent) return 'between'
      return (await this.#isTouched()) ? 'between' : 'before'
    } finally {
      await connection.close()
    }
  }

  /** Consumers get nothing from here on, so that all messages are in our hands when it comes to the hold. */
  async prepare(): Promise<void> {
    await (await this.#hold())?.drain(longestTakingMs)
  }

  /** What has been taken stays taken for a further attempt: publishers never wait. */
  async hold(limitMs: number): Promise<void> {
    const holding = await this.#hold()
    if (holding && !(await holding.drain(limitMs))) throw busyConsumers(this.#context.name)
    this.#context.trace(`${this.#context.name}: held`)
  }

  async lastCapture(): Promise<Staged> {
    const holding = this.#holding
    if (!holding) return asStaged(this.#staged)
    const mark = await this.#mark()
    if (mark?.to === 'before') await this.#exchangeTo('before')
    if (mark?.to === 'target') {
      this.#staged = { ...this.#staged, capture: mark.capture }
      return asStaged(this.#staged)
    }
    const { only, targetAbsent, plan: earlier } = this.#staged
    await holding.cut()
    const { definitions } = holding.live
    const before = asBefore(definitions, earlier)
    const target = await this.#target()
    const want = only ? onlyQueues(before, target.index.definitions, only) : target.index.definitions
    const vhost = (await readVhost(this.#link.management, this.#link.broker.vhost)) ?? null
    await holding.keep(before, vhost)
    const names = new Set([...target.index.queues.map(({ name }) => name), ...before.queues.map(({ name }) => name)])
    const differing = [...names].filter((name) => {
      const stored = target.find(name)
      if (!stored) return false
      return !holding.has(name) || holding.sum(name) !== stored.sha256
    })
    this.#staged = {
      ...this.#staged,
      capture: holding.number,
      plan: targetAbsent ? null : planOf(before, want),
      exchange: targetAbsent ? [] : differing,
    }
    this.#refuseUnheld(differing)
    this.#context.trace(`${this.#context.name}: last capture kept`)
    return asStaged(this.#staged)
  }

  async forward(): Promise<void> {
    if ((await this.inspect()) === 'after') return
    if (this.#staged.targetAbsent) return this.#dropVhost()
    await this.#exchangeTo('target')
  }

  async back(): Promise<void> {
    if ((await this.inspect()) === 'before') return
    if (this.#staged.liveAbsent) return this.#dropVhost()
    await this.#exchangeTo('before')
  }

  async readBack(): Promise<void> {
    const { name } = this.#context
    if ((await this.inspect()) !== 'after') throw new EnvError('damaged', `${name}: the vhost is not what was restored`)
    const holding = this.#holding
    if (!holding || !this.#published) return
    await holding.cut()
    for (const [queue, digests] of this.#published) {
      if (!holding.has(queue)) continue
      if (!isWithin(digests, holding.since(queue), holding.hasPriorities(queue)))
        throw new EnvError('damaged', `${name}: the messages of ${queue} are not those that were restored`)
    }
  }

  async release(): Promise<void> {
    const holding = this.#holding
    this.#holding = undefined
    await holding?.release()
  }

  async before(sink: ContentSink, safety: ServiceRecord): Promise<ServiceRecord> {
    const { name } = this.#context
    const { liveAbsent, only } = this.#staged
    if (liveAbsent) return absentRecord(name, safety.level)
    const set = await this.#captured()
    const queues = new Map<string, { content: Captured['definitions']; count: number }>()
    if (only) {
      const { rows } = factsOf(safety)
      for (const { name: stream, content } of safety.streams) {
        const queue = queueOf(stream)
        if (queue !== undefined) queues.set(queue, { content, count: rows[queue] ?? 0 })
      }
    }
    for (const { name: queue, count } of set.index.queues) {
      queues.set(queue, { content: await sink.write('rows', set.bytes(queue)), count })
    }
    const { unread, rung } = factsOf(safety)
    return presentRecord(name, {
      definitions: await sink.write('rows', definitionBytes(set.index.definitions)),
      queues,
      level: safety.level,
      live: safety.live,
      versions: safety.versions,
      facts: { rung, vhost: set.index.vhost, unread },
    })
  }

  async discard(): Promise<void> {
    await this.release()
    await sweepVhost(this.#link, this.#context, this.#staged.id)
  }

  async #hold(): Promise<Holding | undefined> {
    if (this.#holding && !this.#holding.connection.ended && !this.#holding.channel.ended) return this.#holding
    this.#holding = undefined
    const connection = await this.#link.openIfThere()
    if (!connection) return undefined
    const { major } = await brokerVersion(this.#link.management)
    const { only } = this.#staged
    const checkUser = await userCheck(this.#link)
    try {
      this.#holding = await Holding.begin(this.#link, connection, {
        directory: this.#names.directory,
        major,
        only,
        checkUser,
      })
    } catch (error) {
      await connection.close()
      throw error
    }
    return this.#holding
  }

  async #exchangeTo(to: Mark['to']): Promise<void> {
    const { management, broker } = this.#link
    const { major } = await brokerVersion(management)
    const { only, exchange: queues, plan } = this.#staged
    const messages = to === 'target' ? await this.#target() : await this.#captured()
    const isNew = to === 'target' ? this.#staged.liveAbsent : this.#staged.targetAbsent
    if (isNew) await this.#makeVhost(messages.index.vhost)
    const holding = await this.#hold()
    if (!holding) throw new EnvError('unavailable', `${this.#context.name}: ${this.#link.broker.place} is gone`)
    const mark = await this.#mark()
    const live = (await readDefinitions(management, broker.vhost, major)).definitions
    // What is replaced is kept, whichever way it goes; a phase that was cut short has done so.
    if (to === 'before') {
      await holding.cut()
      await holding.keep(live, null)
    }
    const dropped = to === 'before' ? (plan?.drop.queues ?? []).map(({ name }) => name) : []
    const definitions = this.#wanted(to, live, messages.index.definitions)
    const keepMore = async (more: ReadonlySet<string>) => {
      if (to === 'target' && mark?.phase === 1) return this.#keepLate(holding, mark.capture, more)
      const set = await MessageSet.read(path.join(this.#names.directory, `capture-${holding.number}`)).catch(
        () => undefined,
      )
      await holding.keep(set?.index.definitions ?? live, set?.index.vhost ?? null, more)
    }
    this.#published = await exchange({
      link: this.#link,
      context: this.#context,
      holding,
      names: this.#names,
      major,
      to,
      capture: this.#staged.capture ?? 0,
      isNew,
      want: { definitions, messages },
      queues: new Set(isNew ? messages.index.queues.map(({ name }) => name) : [...queues, ...dropped]),
      drops: !only || to === 'before',
      anew: plan?.anew.queues ?? [],
      keepMore,
    })
    if (isNew) await this.#finishVhost(messages.index.vhost)
    // What is made anew is ours to read back and to hold, like the rest.
    const now = await readDefinitions(management, broker.vhost, major)
    await holding.take(now.queues.filter(({ name }) => this.#published!.has(name) && !holding.has(name)))
  }

  #wanted(to: Mark['to'], live: Definitions, stored: Definitions): Definitions {
    const { only, plan } = this.#staged
    if (!only) return stored
    if (to === 'target') return onlyQueues(live, stored, only)
    return asBefore(live, plan)
  }

  /** What came to queues after a crash, before they are deleted: it belongs to the capture that the mark names. */
  async #keepLate(holding: Holding, capture: number, going: ReadonlySet<string>): Promise<void> {
    const late = await holding.keep(noDefinitions, null)
    const directory = path.join(this.#names.directory, `capture-${capture}`)
    const { index } = await MessageSet.read(directory)
    const queues = index.queues.map((queue) => {
      const added = going.has(queue.name) ? late.find(queue.name) : undefined
      if (!added || added.count === 0) return queue
      const files = added.files.map((file) => path.join('..', path.basename(late.directory), file))
      const more = files.filter((file) => !queue.files.includes(file))
      return more.length === 0
        ? queue
        : { ...queue, files: [...queue.files, ...more], count: queue.count + added.count }
    })
    await MessageSet.write(directory, { ...index, queues })
  }

  async #dropVhost(): Promise<void> {
    const holding = await this.#hold()
    if (!holding) return
    await holding.cut()
    const set = await MessageSet.read(path.join(this.#names.directory, `capture-${holding.number}`)).catch(
      () => undefined,
    )
    await holding.keep(set?.index.definitions ?? holding.live.definitions, set?.index.vhost ?? null)
    await new DefinitionWriter(this.#link.management, this.#link.broker).dropVhost()
    this.#context.trace(`${this.#context.name}: vhost deleted`)
  }

  async #makeVhost(vhost: VhostDefinition | null): Promise<void> {
    const writer = new DefinitionWriter(this.#link.management, this.#link.broker)
    const wanted = this.#vhostOf(vhost)
    await writer.vhost(wanted, this.#note)
    this.#context.trace(`${this.#context.name}: vhost made`)
    await writer.permissions(wanted)
  }

  async #finishVhost(vhost: VhostDefinition | null): Promise<void> {
    await new DefinitionWriter(this.#link.management, this.#link.broker).vhost(this.#vhostOf(vhost))
    this.#context.trace(`${this.#context.name}: vhost is whole`)
  }

  #vhostOf(vhost: VhostDefinition | null): VhostDefinition {
    const all = '.*'
    return (
      vhost ?? {
        description: '',
        tags: [],
        permissions: [{ user: this.#link.broker.user, configure: all, write: all, read: all }],
      }
    )
  }

  get #note(): string {
    return `git-env ${this.#staged.id}`
  }

  async #isUnfinishedVhost(): Promise<boolean> {
    const { targetAbsent, liveAbsent } = this.#staged
    if (!targetAbsent && !liveAbsent) return false
    return (await readVhost(this.#link.management, this.#link.broker.vhost))?.description === this.#note
  }

  /** Whether definitions of the plan are made already, or gone. */
  async #isTouched(): Promise<boolean> {
    const { plan } = this.#staged
    if (!plan) return false
    const { management, broker } = this.#link
    const { major } = await brokerVersion(management)
    const { definitions } = await readDefinitions(management, broker.vhost, major)
    const left = planOf(definitions, merge(definitions, plan.create)).create
    const isMade = count(left) < count(plan.create)
    const gone = planOf(definitions, merge(definitions, { ...noDefinitions, bindings: plan.drop.bindings })).create
    return isMade || (this.#staged.only === null && count(gone) > 0)
  }

  async #mark(): Promise<Mark | undefined> {
    const mark = this.#holding && (await readMark(this.#holding.channel, this.#names.markQueue))
    return mark?.to === 'before' && mark.phase === 2 ? undefined : mark
  }

  #target(): Promise<MessageSet> {
    return MessageSet.read(path.join(this.#names.directory, 'target'))
  }

  async #captured(): Promise<MessageSet> {
    const { capture } = this.#staged
    if (capture === null) return MessageSet.none()
    return MessageSet.read(path.join(this.#names.directory, `capture-${capture}`))
  }

  /** Messages of a queue that is there must be in our hands before others take their place. */
  #refuseUnheld(queues: readonly string[]): void {
    const holding = this.#holding!
    const queue = queues.find((name) => !holding.has(name) && holding.live.queues.some((each) => each.name === name))
    if (queue === undefined) return
    throw new EnvError(
      'refused',
      `${this.#context.name}: the messages of ${queue} cannot be read, so they cannot be exchanged`,
      {
        hint: 'a quorum queue with a delivery limit is read with deliveryLimit: spend',
      },
    )
  }
}

/** Drops what a restore made in the vhost and beside it, by its names. */
export async function sweepVhost(link: Link, context: ServiceContext, id: string): Promise<void> {
  const names = ownNames(id, context.name, context.privateDirectory)
  const connection = await link.openIfThere()
  if (connection) {
    await connection.close()
    await dropOwn(link, names)
  }
  await rm(names.directory, { recursive: true, force: true })
}

function merge(a: Definitions, b: Definitions): Definitions {
  const of = <T extends { readonly name: string }>(first: readonly T[], second: readonly T[]) => [
    ...first.filter(({ name }) => !second.some((each) => each.name === name)),
    ...second,
  ]
  return {
    queues: of(a.queues, b.queues),
    exchanges: of(a.exchanges, b.exchanges),
    bindings: [...a.bindings, ...b.bindings],
    policies: of(a.policies, b.policies),
  }
}

function count({ queues, exchanges, bindings, policies }: Definitions): number {
  return queues.length + exchanges.length + bindings.length + policies.length
}

/** Whether the first are among the second, in their order where the queue keeps one: others may have published in between. */
function isWithin(wanted: readonly string[], found: readonly string[], isAnyOrder: boolean): boolean {
  if (isAnyOrder) return isWithin(wanted.toSorted(), found.toSorted(), false)
  let next = 0
  for (const each of found) if (each === wanted[next]) next++
  return next === wanted.length
}
