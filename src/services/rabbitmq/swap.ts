import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged, SwapState } from '../../domain/swap.ts'
import type { ServiceContext, ServiceSwap } from '../service-driver.ts'
import { isWithin } from './compare.ts'
import { brokerVersion, readLive, readVhost } from './definitions.ts'
import { commitLate, type Published } from './exchange.ts'
import { noteGivenBack } from './given-back.ts'
import { busyConsumers, Holding } from './holding.ts'
import type { Link } from './link.ts'
import { type Mark, readMark } from './mark.ts'
import type { MessageSet } from './message-set.ts'
import { type OwnNames, ownNames } from './names.ts'
import { asBefore, asStaged, fromStaged, isBegun, onlyQueues, planOf, type StagedVhost } from './plan.ts'
import { userCheck } from './stage.ts'
import { recordBefore, SwapFiles } from './swap-files.ts'
import { sweepVhost } from './sweep.ts'
import { VhostLife } from './vhost.ts'
import { VhostMove } from './vhost-move.ts'

const longestTakingMs = 600_000

/**
 * Messages are exchanged within the live queues, which keep their names, their bindings and their consumers. From `prepare` to `release` all messages
 * are in our hands, so no application gets one; publishers go on. So it is swapped before other targets are held.
 */
export class VhostSwap implements ServiceSwap {
  readonly #link: Link
  readonly #context: ServiceContext
  readonly #names: OwnNames
  readonly #files: SwapFiles
  readonly #vhost: VhostLife
  #staged: StagedVhost
  #holding: Holding | undefined
  /** What this process has published: only that can be compared, since others may have consumed what another has. */
  #published: Published | undefined

  constructor(link: Link, context: ServiceContext, staged: Staged) {
    this.#link = link
    this.#context = context
    this.#staged = fromStaged(staged)
    this.#names = ownNames(this.#staged.id, context.name, context.privateDirectory)
    this.#files = new SwapFiles(this.#names.directory)
    this.#vhost = new VhostLife(link, context, this.#staged.id)
  }

  async inspect(): Promise<SwapState> {
    const { targetAbsent, liveAbsent, plan, only } = this.#staged
    const connection = await this.#link.openIfThere()
    if (!connection) return targetAbsent ? 'after' : liveAbsent ? 'before' : 'between'
    try {
      if ((targetAbsent || liveAbsent) && (await this.#vhost.isUnfinished())) return 'between'
      if (targetAbsent) return 'before'
      const mark = await readMark(await connection.channel(), this.#names.markQueue)
      if (mark?.to === 'target' && mark.phase === 2) return 'after'
      if (mark || liveAbsent) return 'between'
      return plan && isBegun(plan, (await readLive(this.#link)).definitions, only !== null) ? 'between' : 'before'
    } finally {
      await connection.close()
    }
  }

  /** Consumers get nothing from here on. */
  async prepare(): Promise<void> {
    const holding = await this.#hold()
    if (holding && !(await holding.drain(longestTakingMs))) throw busyConsumers(this.#context.name)
  }

  /** No writer waits while messages are still coming, so there is no shorter limit. */
  async hold(): Promise<void> {
    await this.prepare()
    this.#context.trace(`${this.#context.name}: held`)
  }

  async lastCapture(): Promise<Staged> {
    if (this.#holding?.isKept) await this.release()
    const holding = await this.#hold()
    if (!holding) return asStaged(this.#staged)
    const mark = await this.#mark()
    if (mark?.to === 'before') await this.#exchangeTo('before')
    if (mark?.to === 'target') {
      this.#staged = { ...this.#staged, capture: mark.capture }
      return asStaged(this.#staged)
    }
    const { only, targetAbsent, plan: earlier } = this.#staged
    await holding.cut()
    holding.refuseForeign()
    const before = asBefore(holding.live.definitions, earlier)
    const target = await this.#files.target()
    const want = only ? onlyQueues(before, target.index.definitions, only) : target.index.definitions
    const vhost = (await readVhost(this.#link.management, this.#link.broker.vhost)) ?? null
    await holding.keep(before, vhost)
    const differing = target.index.queues
      .filter(({ name, sha256 }) => !holding.has(name) || holding.sum(name) !== sha256)
      .map(({ name }) => name)
    this.#staged = {
      ...this.#staged,
      capture: holding.number,
      plan: targetAbsent ? null : planOf(before, want),
      exchange: targetAbsent ? [] : differing,
    }
    this.#refuseUnheld(holding, differing)
    this.#context.trace(`${this.#context.name}: last capture kept`)
    return asStaged(this.#staged)
  }

  async forward(): Promise<void> {
    if ((await this.inspect()) === 'after') return
    if (this.#staged.targetAbsent) return this.#dropVhost(await this.#files.captured(this.#staged.capture))
    await this.#exchangeTo('target')
    // What was published comes to us again; it has come before others are held.
    await this.#holding?.cut()
  }

  async back(): Promise<void> {
    if ((await this.inspect()) === 'before') return
    if (this.#staged.liveAbsent) return this.#dropVhost(this.#files.fresh('replaced').set)
    await this.#exchangeTo('before')
  }

  async catchUp(): Promise<void> {
    const { liveAbsent, targetAbsent } = this.#staged
    const holding = this.#holding
    if (!holding || liveAbsent || targetAbsent) return
    const mark = await this.#mark()
    if (mark?.to !== 'target' || mark.phase !== 2) return
    await holding.cut()
    const late = await this.#move.late(holding, this.#published)
    if (late.size === 0) return
    const { name, set } = this.#files.fresh('late')
    await holding.keepOnly(set.with(await this.#files.late(mark)), late)
    this.#context.trace(`${this.#context.name}: what came since is kept`)
    await commitLate(this.#link.broker.name, holding, this.#names, late.keys(), { ...mark, late: name })
    this.#context.trace(`${this.#context.name}: what came since is taken away`)
  }

  async readBack(): Promise<void> {
    const { name } = this.#context
    if ((await this.inspect()) !== 'after') throw new EnvError('damaged', `${name}: the vhost is not what was restored`)
    const holding = this.#holding
    if (!holding || !this.#published) return
    await holding.cut()
    for (const [queue, digests] of this.#published) {
      if (!holding.has(queue)) continue
      const found = holding.entries(queue).map(({ digest }) => digest)
      if (!isWithin(digests, found, holding.hasPriorities(queue)))
        throw new EnvError('damaged', `${name}: the messages of ${queue} are not those that were restored`, {
          hint: 'did somebody purge it, or does it have a limit of length or a time to live?',
        })
    }
  }

  async release(): Promise<void> {
    const holding = this.#holding
    this.#holding = undefined
    if (!holding) return
    await holding.release()
    noteGivenBack(this.#context.privateDirectory, holding.most)
  }

  async before(sink: ContentSink, safety: ServiceRecord): Promise<ServiceRecord> {
    const { liveAbsent, only, capture } = this.#staged
    const captured = await this.#files.captured(capture)
    const set = captured.with(await this.#files.late(await this.#markNow()))
    return recordBefore(sink, safety, { liveAbsent, isPartial: only !== null, set })
  }

  async discard(): Promise<void> {
    await this.release()
    await sweepVhost(this.#link, this.#context, this.#staged.id)
  }

  async #hold(): Promise<Holding | undefined> {
    if (this.#holding && !this.#holding.isOver) return this.#holding
    await this.release()
    const connection = await this.#link.openIfThere()
    if (!connection) return undefined
    try {
      const { major } = await brokerVersion(this.#link.management)
      const { directory } = this.#names
      const options = { directory, major, only: this.#staged.only, checkUser: await userCheck(this.#link) }
      this.#holding = await Holding.begin(this.#link, connection, options)
      return this.#holding
    } catch (error) {
      await connection.close()
      throw error
    }
  }

  async #exchangeTo(to: Mark['to']): Promise<void> {
    const { liveAbsent, targetAbsent } = this.#staged
    const move = this.#move
    const stored = await move.stored(to)
    const isNew = to === 'target' ? liveAbsent : targetAbsent
    if (isNew) await this.#vhost.make(stored.index.vhost)
    const holding = await this.#hold()
    if (!holding) throw new EnvError('unavailable', `${this.#context.name}: ${this.#link.broker.place} is gone`)
    this.#published = await move.exchange(to, { holding, stored, isNew, mark: await this.#mark() })
    if (isNew) await this.#vhost.finish(stored.index.vhost)
    // What is made anew is ours to read back and to hold, like the rest.
    const { queues: now } = await readLive(this.#link)
    await holding.take(now.filter(({ name }) => this.#published!.has(name) && !holding.has(name)))
  }

  get #move(): VhostMove {
    return new VhostMove(this.#link, this.#context, this.#staged)
  }

  async #dropVhost(set: MessageSet): Promise<void> {
    const holding = await this.#hold()
    if (!holding) return
    await holding.cut()
    await holding.keepMore(set, holding.queueNames)
    await this.#vhost.drop()
  }

  /** Messages of a queue that is there must be in our hands before others take their place. */
  #refuseUnheld(holding: Holding, queues: readonly string[]): void {
    const queue = queues.find((name) => !holding.has(name) && holding.live.queues.some((each) => each.name === name))
    if (queue === undefined) return
    throw new EnvError(
      'refused',
      `${this.#context.name}: the messages of ${queue} cannot be read, so they cannot be exchanged`,
      { hint: 'a quorum queue with a delivery limit is read with deliveryLimit: spend' },
    )
  }

  async #markNow(): Promise<Mark | undefined> {
    const connection = await this.#link.openIfThere()
    if (!connection) return undefined
    try {
      return await readMark(await connection.channel(), this.#names.markQueue)
    } finally {
      await connection.close()
    }
  }

  async #mark(): Promise<Mark | undefined> {
    const mark = this.#holding && (await readMark(this.#holding.channel, this.#names.markQueue))
    return mark?.to === 'before' && mark.phase === 2 ? undefined : mark
  }
}
