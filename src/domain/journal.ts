import type { Staged, SwapWay } from './swap.ts'

/**
 * The state of a restore on disk, from which any process can finish it or take it back:
 * - `staging`: things are put beside the live data; nothing live has changed: go back by dropping them
 * - `staged`: all is staged; still nothing live has changed
 * - `committing`: swaps may have begun: go forward, or back when that keeps failing
 * - `backing`: taking it back was decided: go back
 * - `done`: every target is swapped and read back: what was set aside must be captured
 * - `settled`: nothing is left but to tidy up; `aborted` likewise, after a way back
 */
export type JournalState = 'staging' | 'staged' | 'committing' | 'backing' | 'done' | 'settled' | 'aborted'

export type Operation = 'restore' | 'undo' | 'redo'

export type Journal = {
  readonly version: 1
  readonly id: string
  readonly operation: Operation
  readonly state: JournalState
  readonly startedAt: string
  /** Full ref of the environment; null for a detached HEAD. */
  readonly ref: string | null
  /** Top folder of the work tree, and its name among those of the repository. */
  readonly worktree: string
  readonly worktreeKey: string
  /** The configuration's text when the restore began: the code step may replace the file. */
  readonly config: string
  /** The snapshot that is brought back, and the safety snapshot of what was there. */
  readonly snapshot: string
  readonly safety: string
  /** Set by `done`: the snapshot of the moment of the swap, which undo brings back (the safety snapshot itself when nothing was written since). */
  readonly before?: string
  readonly partial: boolean
  /** How the code came to the target, which decides how undo goes back. */
  readonly codeMode: 'append' | 'detach' | 'reset' | 'none' | 'untouched'
  /** Names of the services and mounts that it is about: staging may have begun for one that is no participant yet. */
  readonly services: readonly string[]
  readonly participants: readonly Participant[]
  readonly owners: Owners
  readonly heldMicros?: number
}

/** By service: whose data it held before the restore, and holds after it, as full refs; null where nothing says. */
export type Owners = Readonly<Record<string, { readonly before: string | null; readonly after: string | null }>>

export type Participant = {
  readonly name: string
  readonly kind: 'service' | 'mount' | 'code'
  /** In this order: `ahead`, `in place`, the code, `rename`. */
  readonly order: SwapWay | 'code'
  readonly staged: Staged
}

/** Restores and undos in one work tree, oldest first; `position` counts those in force: what lies behind it was undone. */
export type UndoLog = {
  readonly version: 1
  readonly position: number
  /** Id of the journal entered last: entering it again changes nothing. */
  readonly last: string
  readonly entries: readonly UndoEntry[]
}

export type UndoEntry = {
  /** Id of the restore. */
  readonly id: string
  readonly at: string
  readonly snapshot: string
  /** Brings back what was there before the restore. */
  readonly before: string
  /** Brings back what was there before the undo; set once undone. */
  readonly after?: string
  readonly codeMode: Journal['codeMode']
  readonly ref: string | null
  /** The configuration's text then: it says where the data was brought to, and is to be brought back from. */
  readonly config: string
  readonly owners: Owners
}

export const emptyUndoLog: UndoLog = { version: 1, position: 0, last: '', entries: [] }

/** Only so many restores can be undone; older ones' safety snapshots may expire. */
const maxUndoEntries = 50

/** Enters a finished restore, undo or redo. */
export function enter(log: UndoLog, journal: Journal, before: string): UndoLog {
  if (log.last === journal.id) return log
  const { entries, position } = log
  if (journal.operation === 'restore') {
    const entry = {
      id: journal.id,
      at: journal.startedAt,
      snapshot: journal.snapshot,
      before,
      codeMode: journal.codeMode,
      ref: journal.ref,
      config: journal.config,
      owners: journal.owners,
    }
    const kept = [...entries.slice(0, position), entry].slice(-maxUndoEntries)
    return { version: 1, last: journal.id, entries: kept, position: kept.length }
  }
  const undoing = journal.operation === 'undo'
  const index = undoing ? position - 1 : position
  const target = entries[index]
  if (!target) return log
  const changed = undoing ? { ...target, after: before } : { ...target, before }
  return {
    version: 1,
    last: journal.id,
    entries: entries.with(index, changed),
    position: undoing ? position - 1 : position + 1,
  }
}
