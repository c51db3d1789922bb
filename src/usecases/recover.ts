import type { Journal } from '../domain/journal.ts'
import { type Direction, type Finished, finishJournal } from './swap-journal.ts'
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
    finished.push(await finishJournal(workspace, journal, direction(journal, choice)))
  }
  return finished
}

/** Journals of this environment's work tree that wait for recovery. */
export async function openJournals(workspace: Workspace): Promise<readonly Journal[]> {
  const journals = await workspace.state.journals()
  return journals.filter((journal) => journal.worktree === workspace.directory)
}

function direction(journal: Journal, choice: RecoveryChoice): Direction {
  if (choice !== 'auto') return choice === 'continue' ? 'forward' : 'back'
  return journal.state === 'staging' || journal.state === 'staged' || journal.state === 'backing' ? 'back' : 'forward'
}
