import { setTimeout as sleep } from 'node:timers/promises'
import { EnvError } from '../domain/errors.ts'

/** How long writers may be asked for in all before a snapshot or a swap gives up, in milliseconds. */
export const holdLimitMs = 5000

/** Nobody waits longer than this for an attempt that comes to nothing: an open write in one service must not stop those in the others. */
const firstAttemptMs = 20
const firstPauseMs = 10
const longestPauseMs = 250

export type Holdable = {
  hold(limitMs: number): Promise<void>
  release(): Promise<void>
}

export type HoldOptions = {
  readonly limitMs: number
  /** The longest that one attempt may become; the first takes 20 ms, each further one up to twice as long as the one before. */
  readonly longestAttemptMs: number
  readonly signal: AbortSignal
}

/**
 * Makes the writers of all targets wait together: short attempts at all of them at once, everything let go after one that failed, with growing
 * pauses of random length in between. Throws `busy` naming who is in the way. Gives the moment at which the first writer may have begun to wait.
 */
export async function holdTogether(
  targets: readonly Holdable[],
  { limitMs, longestAttemptMs, signal }: HoldOptions,
): Promise<number> {
  const deadline = performance.now() + limitMs
  let attemptMs = firstAttemptMs
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    const since = performance.now()
    const outcomes = await Promise.allSettled(targets.map((target) => target.hold(attemptMs)))
    const reasons = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []))
    if (reasons.length === 0) return since
    await Promise.allSettled(targets.map((target) => target.release()))
    const serious = reasons.find((reason) => !(reason instanceof EnvError && reason.code === 'busy'))
    if (serious !== undefined) throw serious
    signal.throwIfAborted()
    if (performance.now() + pauseMs > deadline) throw outOfTime(reasons[0] as EnvError, limitMs)
    await sleep(pauseMs * (0.5 + Math.random()))
    attemptMs = Math.min(attemptMs * 2, longestAttemptMs)
  }
}

function outOfTime({ message, hint, details, cause }: EnvError, limitMs: number): EnvError {
  return new EnvError('busy', `${message}; writers could not be held within ${limitMs / 1000} s`, {
    cause,
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
  })
}
