import { cancelled, EnvError } from '../domain/errors.ts'
import { type ActivityLock, acquireActivity, readActivity } from '../system/activity-lock.ts'
import type { Finished } from './journal-run.ts'
import { recoverFirst } from './recover.ts'
import type { Workspace } from './workspace.ts'

export type ActivityOptions = {
  /** For the message to others: `snapshot`, `restore`, … */
  readonly command: string
  /** Wait for another activity to end. */
  readonly wait: boolean
  /** Left out: finish what was cut short first. */
  readonly recover?: boolean
  /** Told of restores that were cut short and are now finished or taken back. */
  readonly onRecovered: (finished: Finished) => void
}

/** Runs something that changes the environment: alone, and on a whole one, since what was cut short is finished first. */
export async function asActivity<T>(
  workspace: Workspace,
  options: ActivityOptions,
  work: () => Promise<T>,
): Promise<T> {
  const lock = await takeLock(workspace, options)
  try {
    if (options.recover ?? true) {
      for (const finished of await recoverFirst(workspace)) options.onRecovered(finished)
    }
    return await work()
  } finally {
    await lock.release()
  }
}

async function takeLock(workspace: Workspace, options: ActivityOptions): Promise<ActivityLock> {
  const { ports, state, worktreeKey } = workspace
  const file = state.activityFile(worktreeKey)
  for (;;) {
    try {
      return await acquireActivity(file, options.command, ports.now())
    } catch (error) {
      if (!options.wait || !(error instanceof EnvError) || error.code !== 'busy') throw error
      const activity = await readActivity(file)
      if (activity) ports.progress.phase(`waiting for git env ${activity.command}`)
      await new Promise((resolve) => setTimeout(resolve, 300))
      if (ports.signal.aborted) throw cancelled()
    }
  }
}
