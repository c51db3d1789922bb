import type { Json } from './canonical-json.ts'

/**
 * What was staged: plain data, kept in the journal, from which another process can finish after a crash. Never a secret.
 * `way` says how it will be swapped, where that differs from what the probe said; `warnings` what will not be exactly as it was, for people.
 */
export type Staged = {
  readonly way?: SwapWay
  readonly warnings?: readonly string[]
  readonly [key: string]: Json | undefined
}

/** `ahead`: before the others are held, since no writer waits for it; `in place`: written into what is there; `rename`: takes the name of what is there. */
export type SwapWay = 'ahead' | 'in place' | 'rename'

export type SwapState = 'before' | 'between' | 'after'

/**
 * The swap of one target (a service, a mount, the code) to what was staged. Order: prepare, stop, hold, lastCapture, forward, catchUp, readBack, release,
 * start, discard.
 * After a crash `inspect` decides which of them are left. On the way back nothing is prepared; `lastCapture` and `readBack` of several
 * targets run side by side.
 *
 * Laws:
 * - `inspect` finds the state by looking at the target, and changes nothing.
 * - `forward`, `back` and `discard` are idempotent: from any state, also one that SIGKILL left, they end in `after`, `before` and nothing left over.
 * - Whatever stands at a live name is set aside, never overwritten or merged.
 * - What a writer was told is done before the swap is kept, however late it came; so is what `back` replaces.
 */
export interface Swap {
  inspect(): Promise<SwapState>
  /** Before any target is held: connects and does ahead what would make writers wait longer. Writers go on. */
  prepare?(): Promise<void>
  /**
   * Where making writers wait takes seconds: stops the service, before any other target is held. From here on it is started again whatever happens, also
   * when this process dies in any way, but never on a mixture.
   */
  stop?(): Promise<void>
  /** Makes writers wait, where the target can; or throws `busy` naming who is in the way. */
  hold(limitMs: number): Promise<void>
  /**
   * Inside the hold, not in state `after`: keeps, durable and read back, what `forward` is about to replace and setting aside will not keep.
   * Gives what the journal must hold before `forward` may run. This swap goes on with it itself.
   */
  lastCapture(): Promise<Staged>
  forward(): Promise<void>
  /**
   * Of targets that are swapped `ahead`, since `forward` takes long and no writer waits for it: such a target is held, captured and swapped before the others are held. This comes then
   * inside the hold of all, in state `after`: what was written to it since its last capture is kept with that, and taken away from what is there
   * now, as if it had been swapped at this moment. What was brought back stays out of applications' reach until `release`. Idempotent.
   */
  catchUp?(): Promise<void>
  /** To `before`. What it replaces is kept in the set-asides. */
  back(): Promise<void>
  /** State `after`, inside the hold: throws `damaged` when the live data is not what was staged. */
  readBack(): Promise<void>
  /** Lets writers go on. */
  release(): Promise<void>
  /** After `release`, also after a way back: starts what `stop` stopped. */
  start?(): Promise<void>
  /** Drops what was staged and set aside, and nothing else. */
  discard(): Promise<void>
}
