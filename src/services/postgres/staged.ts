import type { Staged } from '../../domain/swap.ts'
import type { StagedRows } from './rows-plan.ts'

/** What the journal keeps of a staged restore, by the way in which it is swapped. */
export type StagedDatabase = StagedReplacement | StagedRows

/** A database was made beside the live one, and the two exchange their names. */
export type StagedReplacement = {
  readonly way: 'rename'
  readonly warnings: readonly string[]
  readonly id: string
  readonly database: string
  /** The database that was made; null where the restore makes it absent. */
  readonly freshOid: number | null
}

export function asStaged(staged: StagedDatabase): Staged {
  return staged as unknown as Staged
}

export function fromStaged(staged: Staged): StagedDatabase {
  return staged as unknown as StagedDatabase
}
