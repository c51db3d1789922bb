import { EnvError } from '../domain/errors.ts'
import type { Journal } from '../domain/journal.ts'
import type { Direction, Finished } from './journal-run.ts'
import { finishJournal } from './swap-journal.ts'
import type { Workspace } from './workspace.ts'

/** `restore --continue`, `restore --abort`, or what the state of each restore asks for. */
export type RecoveryChoice = 'continue' | 'abort' | 'auto'

/**
 * Finishes every restore of this environment that was cut short, or takes it back: before the swap began, back; after it, forward.
 * The caller holds the environment's activity lock, so no guard is still at work on them.
 */
export async function recoverFirst(workspace: Workspace, choice: RecoveryChoice = 'auto'): Promise<Finished[]> {
  const finished: Finished[] = []
  for (const journal of await openJournals(workspace)) {
    refuseMoved(workspace, journal)
    finished.push(await finishJournal(workspace, journal, direction(journal, choice)))
  }
  return finished
}

/** A journal names places by their paths: it can be finished only where it was begun. */
function refuseMoved(workspace: Workspace, journal: Journal): void {
  if (journal.worktree === workspace.directory) return
  throw new EnvError(
    'unfinished',
    `a ${journal.operation} was cut short here when this work tree was ${journal.worktree}`,
    {
      hint: 'move it back there and run git env recover; then move it again',
    },
  )
}

/** Journals of this environment's work tree that wait for recovery. */
export async function openJournals(workspace: Workspace): Promise<readonly Journal[]> {
  const journals = await workspace.state.journals()
  return journals.filter((journal) => journal.worktreeKey === workspace.worktreeKey)
}

/** Once the swap has begun the way is forward: only there is everything captured that going back would replace. Abort then means finish, and undo. */
function direction(journal: Journal, choice: RecoveryChoice): Direction {
  if (journal.state === 'backing') return 'back'
  if (journal.state !== 'staging' && journal.state !== 'staged') return 'forward'
  return choice === 'continue' && journal.state === 'staged' ? 'forward' : 'back'
}
