import { EnvError } from '../domain/errors.ts'
import { ownActivity } from '../system/activity-lock.ts'
import { errorData } from './error-data.ts'
import type { GuardMessage } from './ports.ts'
import { finishJournal } from './swap-journal.ts'
import { uninterrupted, type Workspace } from './workspace.ts'

/**
 * The guard's work: it alone holds writers and swaps, in a process of its own session, so that neither Ctrl-C nor the death of the command
 * that started it can stop it half-way.
 */
export async function guard(begun: Workspace, id: string, isCancelled: () => boolean): Promise<GuardMessage> {
  // A signal may only ask it to give up, and is no reason to stop half-way.
  const workspace = await uninterrupted(begun)
  const lock = await ownActivity(workspace.state.activityFile(workspace.worktreeKey))
  const journal = (await workspace.state.journals()).find((each) => each.id === id)
  if (!journal) return { done: false, error: errorData(new EnvError('bug', `there is no journal ${id}`)) }
  try {
    const finished = await finishJournal(workspace, journal, 'forward', isCancelled)
    if (finished.before === undefined) throw new EnvError('cancelled', 'cancelled before the swap')
    const { before, warnings } = finished
    return { done: true, heldMicros: finished.journal.heldMicros ?? 0, before, warnings }
  } catch (error) {
    return { done: false, error: errorData(error) }
  } finally {
    await lock.release()
  }
}
