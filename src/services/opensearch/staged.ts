import type { Content } from '../../domain/content.ts'
import type { Staged } from '../../domain/swap.ts'
import type { IndexDefinition } from './definitions.ts'
import { parseExact } from './exact-json.ts'
import type { Others } from './others.ts'

/** What the journal keeps of a restore. Definitions are kept as texts: a journal holds no fractions. */
export type StagedIndices = {
  readonly way: 'rename'
  readonly warnings: readonly string[]
  readonly id: string
  /** Only these indices; null for all. */
  readonly only: readonly string[] | null
  /** Indices that were made, and will come to their names. */
  readonly parts: readonly Part[]
  /** Indices that were as they should be when it was staged. */
  readonly equal: readonly Equal[]
  /** Templates and pipelines as they should be; null where they are not touched. */
  readonly others: string | null
  /** What the last capture found to be set aside. */
  readonly goes?: readonly Goes[]
  /** Templates and pipelines as the last capture found them. */
  readonly othersBefore?: string
}

export type Part = {
  readonly name: string
  readonly physical: string
  readonly uuid: string
  readonly definition: string
}

export type Equal = {
  readonly name: string
  readonly evidence: string
  readonly definition: string
  readonly content: Content
  readonly rows: number
}

export type Goes = {
  readonly name: string
  readonly physical: string
  readonly uuid: string
  /** What an index that has the name itself is cloned to, since an index cannot be renamed. */
  readonly clone: string
  /** With aliases; for undo. */
  readonly definition: string
}

export function asStaged(staged: StagedIndices): Staged {
  return staged as unknown as Staged
}

export function fromStaged(staged: Staged): StagedIndices {
  return staged as unknown as StagedIndices
}

export function definitionIn(text: string): IndexDefinition {
  return parseExact(text) as unknown as IndexDefinition
}

export function othersIn(text: string): Others {
  return parseExact(text) as unknown as Others
}
