import { type BigIntStats, closeSync, lstatSync, mkdirSync, openSync, utimesSync } from 'node:fs'
import path from 'node:path'

/** What changes whenever a file's bytes or metadata do: ctime cannot be set by anybody. */
export function identityOf(stat: BigIntStats): string {
  return `${stat.size} ${stat.mtimeNs} ${stat.ctimeNs} ${stat.ino} ${stat.dev}`
}

/**
 * Between two steps of the clock from which the kernel stamps files, changes cannot be told apart. Linux steps it every 1 to 10 ms
 * (CONFIG_HZ); file systems with finer stamps are only better.
 */
const clockStepNs = 10_000_000n

/** File systems that keep whole seconds (ext3, HFS+) or every second one (FAT). */
const coarseStepNs = 2_000_000_000n

/** Whether every change from `instantNs` on would show as a later ctime than this one. */
export function isClearlyBefore(ctimeNs: bigint, instantNs: bigint): boolean {
  const stepNs = ctimeNs % 1_000_000_000n === 0n ? coarseStepNs : clockStepNs
  return ctimeNs < instantNs - stepNs
}

/**
 * Tells the time by the clock that stamps files, which is what their ctimes can be compared with: it stamps a file of its own.
 */
export class FileClock {
  readonly #file: string
  /** The device of the file system whose clock this is. */
  readonly device: bigint

  /** The folder is made when needed. */
  constructor(directory: string) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.#file = path.join(directory, 'clock')
    closeSync(openSync(this.#file, 'a', 0o600))
    this.device = lstatSync(this.#file, { bigint: true }).dev
  }

  /** Nanoseconds since 1970; no change made from now on is stamped earlier, but for one step of the clock. */
  nowNs(): bigint {
    utimesSync(this.#file, 0, 0)
    return lstatSync(this.#file, { bigint: true }).ctimeNs
  }

  /** Waits until a change would show as a later ctime than `ctimeNs`, for at most 50 ms: a file stamped in the future is not waited for. */
  async settle(ctimeNs: bigint): Promise<void> {
    for (let i = 0; i < 10 && !isClearlyBefore(ctimeNs, this.nowNs()); i++) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}
