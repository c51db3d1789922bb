import { holdLimitMs, holdTogether } from './hold.ts'
import type { Bound } from './keep-before.ts'

/** A swap that gives up costs all that was staged, so its later attempts may be longer than those of a snapshot. */
const longestSwapAttemptMs = 640

/** Whether a target is swapped before the others are held; see `catchUp` in ../domain/swap.ts. */
export function isAhead({ participant }: Bound): boolean {
  return participant.order === 'ahead'
}

/** Which targets of a swap are held by this process, and since when writers wait. */
export class SwapHold {
  readonly #signal: AbortSignal
  readonly #held = new Set<Bound>()
  #since: number | undefined

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  get isEmpty(): boolean {
    return this.#held.size === 0
  }

  has(bound: Bound): boolean {
    return this.#held.has(bound)
  }

  /** Those that are not held yet, together. */
  async take(wanted: readonly Bound[]): Promise<void> {
    const bound = wanted.filter((each) => !this.#held.has(each))
    if (bound.length === 0) return
    await Promise.allSettled(bound.map(({ swap }) => swap.stop?.())).then(refuseRejected)
    const since = await holdTogether(
      bound.map(({ swap }) => swap),
      { limitMs: holdLimitMs, longestAttemptMs: longestSwapAttemptMs, signal: this.#signal },
    )
    if (!bound.every(isAhead)) this.#since ??= since
    for (const each of bound) this.#held.add(each)
  }

  /** Lets all go on, also where a hold was tried and failed; how long writers waited, in microseconds. */
  async release(all: readonly Bound[]): Promise<number> {
    const letGo = (bound: readonly Bound[]) => Promise.allSettled(bound.map(({ swap }) => swap.release()))
    const later = letGo(all.filter(isAhead))
    await letGo(all.filter((each) => !isAhead(each)))
    const held = this.#since === undefined ? 0 : Math.round((performance.now() - this.#since) * 1000)
    await later
    this.#since = undefined
    this.#held.clear()
    await Promise.allSettled(all.map(({ swap }) => swap.start?.()))
    return held
  }
}

function refuseRejected(outcomes: readonly PromiseSettledResult<unknown>[]): void {
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed) throw failed.reason
}
