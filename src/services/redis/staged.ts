import type { Staged } from '../../domain/swap.ts'

/** What the journal keeps of a staged restore. */
export type StagedRedis = {
  readonly way: 'rename'
  readonly id: string
  /** Each index that takes part with the spare one that holds what comes, and after the swap what went. */
  readonly pairs: readonly StagedIndex[]
  /** Only these keys take part; null: the whole index. */
  readonly only: readonly string[] | null
  /** Whether the server's functions take part. */
  readonly functions: boolean
  readonly warnings?: readonly string[]
}

export type StagedIndex = {
  readonly index: number
  readonly spare: number
  /** Keys that were staged; some may have expired since. */
  readonly keys: number
}

export function asStaged(staged: StagedRedis): Staged {
  return staged as unknown as Staged
}

export function fromStaged(staged: Staged): StagedRedis {
  return staged as unknown as StagedRedis
}
