import path from 'node:path'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { SequenceValue } from './catalog.ts'
import type { Definitions } from './definitions.ts'

/** Staged rows: the live tables stay, and of those that differ the rows that differ are changed, all in one transaction. Plain data. */
export type StagedRows = {
  readonly way: 'in place'
  readonly warnings: readonly string[]
  readonly id: string
  readonly directory: string
  readonly database: string
  readonly only: readonly string[] | null
  readonly target: ServiceRecord
  /** What the safety snapshot found. */
  readonly live: ServiceRecord
  readonly changes: readonly TableChange[]
  /** Where the sequences shall stand. */
  readonly sequences: readonly SequenceValue[]
  /** Materialised views that are filled anew when rows were changed. */
  readonly filled: Definitions['filled']
}

/** Two files: rows to take away and rows to add, to make of a table what it shall be. */
export type TableChange = {
  readonly table: string
  /** Of the content it shall have afterwards. */
  readonly goal: string
  readonly removed: string
  readonly added: string
}

export function changeFiles(directory: string, nr: number): { readonly removed: string; readonly added: string } {
  return { removed: path.join(directory, `${nr}.removed`), added: path.join(directory, `${nr}.added`) }
}
