import { EnvError } from '../../domain/errors.ts'
import type { Presence } from '../../domain/manifest.ts'
import type { Staged } from '../../domain/swap.ts'
import type { Suffix } from './pieces.ts'

/**
 * What the journal keeps of a staged database, in one of two ways:
 * `in place`: the live file stays; the tables that differ are written anew in one transaction;
 * `rename`: the live files are set aside and the staged ones take their names.
 */
export type StagedDatabase = StagedInPlace | StagedRename

export type StagedInPlace = {
  readonly way: 'in place'
  readonly file: string
  readonly directory: string
  readonly only: readonly string[] | null
  /** First of the {@link cookieRange} schema versions that say: this is what was restored. */
  readonly forwardCookie: number
  /** Likewise: this is what was there before, put back. */
  readonly backCookie: number
}

export type StagedRename = {
  readonly way: 'rename'
  readonly file: string
  readonly directory: string
  readonly pieces: readonly StagedPiece[]
  /** What the last capture found at the live names; absent until then. */
  readonly replaced?: Replaced
}

/** A file waiting in the staging folder, by the identity that it keeps when it is renamed. */
export type StagedPiece = {
  readonly suffix: Suffix
  readonly identity: string
  readonly bytes: number
  readonly mtimeNs: string
}

export type Replaced = {
  readonly presence: Presence
  readonly reason: string
  /** Number of the last capture: names its copy and its folder of set-asides. */
  readonly number: number
  readonly pieces: readonly { readonly suffix: Suffix; readonly identity: string }[]
}

/** One capture's share of schema versions: what other programs add to it by changing the schema still belongs to it. */
const cookieStep = 4096
const cookieRange = 64 * cookieStep
const ranges = 2 ** 31 / cookieRange

/**
 * Picks where the schema versions of a swap begin: away from the present one and from each other. Schema versions are 31 bits here.
 * `random` gives 0 to 1. Other connections keep what they know of a schema by its version, so a version must not come back.
 */
export function chooseCookies(present: number, random: () => number): { forwardCookie: number; backCookie: number } {
  const taken = new Set([Math.floor(present / cookieRange)])
  const pick = () => {
    let range: number
    do range = 1 + Math.floor(random() * (ranges - 2))
    while (taken.has(range) || taken.has(range - 1) || taken.has(range + 1))
    taken.add(range)
    return range * cookieRange
  }
  return { forwardCookie: pick(), backCookie: pick() }
}

/** The number of the capture that a schema version stands for; undefined when it is not of this range. */
export function captureOf(cookie: number, first: number): number | undefined {
  return cookie >= first && cookie < first + cookieRange ? Math.floor((cookie - first) / cookieStep) : undefined
}

export function cookieFor(number: number, first: number, random: () => number): number {
  if (number >= cookieRange / cookieStep) {
    throw new EnvError('refused', `this restore was begun ${number} times`, {
      hint: 'take it back: git env restore --abort',
    })
  }
  return first + number * cookieStep + Math.floor(random() * (cookieStep / 2))
}

export function asStaged(staged: StagedDatabase): Staged {
  return staged as unknown as Staged
}

export function fromStaged(staged: Staged): StagedDatabase {
  return staged as unknown as StagedDatabase
}
