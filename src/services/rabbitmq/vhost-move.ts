import type { ServiceContext } from '../service-driver.ts'
import { amongThese } from './compare.ts'
import { readLive } from './definitions.ts'
import { exchange, type Published } from './exchange.ts'
import type { Entry } from './held-queue.ts'
import type { Holding } from './holding.ts'
import type { Link } from './link.ts'
import type { Mark } from './mark.ts'
import type { MessageSet } from './message-set.ts'
import { type OwnNames, ownNames } from './names.ts'
import { asBefore, onlyQueues, type StagedVhost } from './plan.ts'
import { SwapFiles } from './swap-files.ts'

type Move = {
  readonly holding: Holding
  /** What shall be there. */
  readonly stored: MessageSet
  /** The vhost was made for it. */
  readonly isNew: boolean
  readonly mark: Mark | undefined
}

/** Which messages go and which come, to the target or back. */
export class VhostMove {
  readonly #link: Link
  readonly #context: ServiceContext
  readonly #staged: StagedVhost
  readonly #names: OwnNames
  readonly #files: SwapFiles

  constructor(link: Link, context: ServiceContext, staged: StagedVhost) {
    this.#link = link
    this.#context = context
    this.#staged = staged
    this.#names = ownNames(staged.id, context.name, context.privateDirectory)
    this.#files = new SwapFiles(this.#names.directory)
  }

  stored(to: Mark['to']): Promise<MessageSet> {
    return to === 'target' ? this.#files.target() : this.#files.captured(this.#staged.capture)
  }

  async exchange(to: Mark['to'], { holding, stored, isNew, mark }: Move): Promise<Published> {
    const { only, exchange: exchanged, plan, capture } = this.#staged
    // What was brought is told from what came since by what is in our hands.
    if (to === 'before') await holding.cut()
    const live = (await readLive(this.#link)).definitions
    const dropped = to === 'before' ? (plan?.drop.queues ?? []).map(({ name }) => name) : []
    const queues = isNew ? stored.index.queues.map(({ name }) => name) : [...exchanged, ...dropped]
    const messages = to === 'target' ? stored : await this.#toBringBack(holding, stored, mark, queues)
    const ofBefore = only ? asBefore(live, plan) : stored.index.definitions
    const ofTarget = only ? onlyQueues(live, stored.index.definitions, only) : stored.index.definitions
    return exchange({
      link: this.#link,
      context: this.#context,
      holding,
      names: this.#names,
      to,
      capture: capture ?? 0,
      isNew,
      want: { definitions: to === 'before' ? ofBefore : ofTarget, messages },
      queues: new Set([...queues, ...(to === 'before' ? messages.index.queues.map(({ name }) => name) : [])]),
      drops: !only || to === 'before',
      anew: plan?.anew.queues ?? [],
      keepMore: async (going) => {
        // On the way to the target it belongs to the capture that the mark names, which another process may have made.
        const set =
          to === 'target' ? await this.#files.captured(mark?.capture ?? capture) : this.#files.fresh('replaced').set
        await holding.keepMore(set, going)
      },
    })
  }

  /**
   * On the way back only what was brought is removed: what was published since stays. What was taken away when catching up comes back too, also into
   * queues whose messages were the same.
   */
  async #toBringBack(
    holding: Holding,
    captured: MessageSet,
    mark: Mark | undefined,
    queues: readonly string[],
  ): Promise<MessageSet> {
    const { plan, targetAbsent } = this.#staged
    const target = targetAbsent ? undefined : await this.#files.target()
    // What came to a queue that goes was added to the capture, and may still be there too.
    const going = new Set([...(plan?.anew.queues ?? []), ...(plan?.drop.queues ?? []).map(({ name }) => name)])
    for (const name of holding.queueNames) {
      const digests = queues.includes(name) ? ((await target?.digests(name)) ?? []) : []
      const kept = going.has(name) ? await captured.digests(name) : []
      const chosen = amongThese(holding.entries(name), [...digests, ...kept])
      holding.choose(name, (entry) => chosen.has(entry))
    }
    return captured.only(queues).with(await this.#files.late(mark))
  }

  /** What is in our hands and neither was brought nor is part of the last capture. */
  async late(holding: Holding, published: Published | undefined): Promise<Map<string, readonly Entry[]>> {
    const { capture, exchange: exchanged } = this.#staged
    const [target, captured] = [await this.#files.target(), await this.#files.captured(capture)]
    const late = new Map<string, readonly Entry[]>()
    for (const { name } of captured.index.queues) {
      const entries = holding.entries(name)
      const isOurs = !exchanged.includes(name) && capture === holding.number
      const known = async () =>
        published?.get(name) ?? (await (exchanged.includes(name) ? target : captured).digests(name))
      const there = isOurs ? new Set(entries.filter(({ isKept }) => isKept)) : amongThese(entries, await known())
      const more = entries.filter((entry) => !there.has(entry) && !entry.isForeign)
      if (more.length > 0) late.set(name, more)
    }
    return late
  }
}
