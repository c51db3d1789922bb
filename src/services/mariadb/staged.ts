import type { Json } from '../../domain/canonical-json.ts'
import type { Content } from '../../domain/content.ts'
import type { Presence } from '../../domain/manifest.ts'
import type { Staged } from '../../domain/swap.ts'
import type { Evidence } from './evidence.ts'

/** What the journal keeps of a staged database. */
export type StagedDatabase = {
  readonly id: string
  readonly presence: Presence
  /** Only these tables and sequences take part; null: all do. Sequences are set where they are. */
  readonly only: readonly string[] | null
  /** What is swapped: staged or set aside under its number. */
  readonly parts: readonly StagedPart[]
  /** Tables that are what they shall be, as long as nobody writes to them. */
  readonly equal: readonly EqualTable[]
  /** Of the safety snapshot, for those tables. */
  readonly evidence: Evidence
  /** Number of the file with the definitions that the last capture found. */
  readonly before?: number
  readonly warnings?: readonly string[]
}

export type StagedPart = {
  readonly name: string
  readonly number: number
  /** It is staged: the target has it. */
  readonly comes: boolean
  /** It was there at the last capture. */
  readonly goes: boolean
}

export type EqualTable = { readonly name: string; readonly content: Content; readonly rows: number }

export function asStaged(staged: StagedDatabase): Staged {
  return staged as unknown as Staged & Record<string, Json>
}

export function fromStaged(staged: Staged): StagedDatabase {
  return staged as unknown as StagedDatabase
}
