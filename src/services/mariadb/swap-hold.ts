import { withinLimit } from './attempt.ts'
import { findWritten } from './equal.ts'
import { isOwnName, quoted } from './names.ts'
import type { Schema } from './schema.ts'
import type { StagedDatabase } from './staged.ts'
import { type Direction, isLockedAlone, renamingsOf, tablesToMend } from './swap-plan.ts'
import type { SwapSessions } from './swap-sessions.ts'

/** Tables that were equal to the target were written to since. */
export class WrittenTo extends Error {
  readonly tables: readonly string[]

  constructor(tables: readonly string[]) {
    super('written to')
    this.tables = tables
  }
}

export type HoldPlan = {
  readonly database: string
  readonly staged: StagedDatabase
  readonly direction: Direction
  /** What is there now, and what shall be after the swap. */
  readonly before: Schema
  readonly want: Schema
  /** The target's definitions, where tables that stay are to be looked at. */
  readonly target: Schema | undefined
}

/**
 * One attempt to keep everybody from all tables: those that stay are locked at the same time as the rename takes those that are swapped, since
 * a statement in between that has one and wants the other would wait for us, and we for it. Then it looks whether those that stay are what
 * they were. Throws `NotInTime` or {@link WrittenTo}; whoever calls lets go then.
 */
export async function attemptHold(sessions: SwapSessions, plan: HoldPlan, limitMs: number): Promise<void> {
  const { staged, direction, target, database } = plan
  const renamings = renamingsOf(staged.id, staged.parts, direction)
  const [armed, after] =
    direction === 'forward' ? (['armed', 'swapped'] as const) : (['returning', 'returned'] as const)
  const outcomes = await Promise.allSettled([
    lockStaying(sessions, plan, limitMs),
    sessions.gate.close(armed, after, renamings, limitMs),
  ])
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed) throw failed.reason
  if (!target) return
  const { main, locker, facts } = sessions
  const written = await findWritten(main, locker, facts, database, staged.equal, staged.evidence, target)
  if (written.length > 0) throw new WrittenTo(written)
}

/**
 * Tables that are not swapped wait too, and sequences, which are set where they are. A table that needs another key or trigger is locked so
 * that it can get it, unless that would lock others with it that the rename wants.
 */
async function lockStaying(sessions: SwapSessions, { staged, before, want }: HoldPlan, limitMs: number): Promise<void> {
  const { parts, only } = staged
  const swapped = new Set(parts.map(({ name }) => name))
  const staying = before.tables.filter(({ name }) => !swapped.has(name) && !isOwnName(name))
  const mayLock = tablesToMend(parts, before, want).filter((name) => isLockedAlone(name, before))
  const sequences = before.sequences.filter(({ name }) => only === null || only.includes(name))
  const list = [
    ...staying.map(({ name }) => `${quoted(name)} ${mayLock.includes(name) ? 'WRITE' : 'READ'}`),
    ...sequences.map(({ name }) => `${quoted(name)} WRITE`),
  ]
  if (list.length === 0) return
  await withinLimit(sessions.locker, sessions.main, limitMs, `LOCK TABLES ${list.join(', ')}`)
  sessions.locked = new Set([...mayLock, ...sequences.map(({ name }) => name)])
}
