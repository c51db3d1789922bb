import { environmentOf } from '../domain/environment.ts'
import { EnvError } from '../domain/errors.ts'
import type { UndoEntry } from '../domain/journal.ts'
import { shortId } from '../domain/snapshot-id.ts'
import { planRestore, type RestorePlan, titleOf } from './plan-restore.ts'
import { type ConfiguredWorkspace, configure } from './workspace.ts'

/** Plans to take the last restore back, or with `redo` the last undo. Carried out by `executeRestore`, like every restore. */
export async function planUndo(
  workspace: ConfiguredWorkspace,
  options: { readonly redo: boolean },
): Promise<RestorePlan> {
  const { entry, snapshot } = await nextStep(workspace, options.redo)
  const environment = environmentOf(entry.ref ?? undefined)
  const attaching = entry.codeMode === 'detach' && !options.redo && entry.ref !== null
  if (entry.ref !== (workspace.environment.ref ?? null) && !attaching) {
    throw new EnvError(
      'refused',
      `the last restore here was in ${environment.name}, and ${workspace.environment.name} is checked out`,
      {
        hint: `git switch ${environment.name} first`,
      },
    )
  }
  const request = { snapshot, to: environment.name, what: 'all', code: 'append' } as const
  const [restored, replaced] = await Promise.all([
    workspace.git.snapshot(entry.snapshot),
    workspace.git.snapshot(options.redo ? entry.before : entry.snapshot),
  ])
  return planRestore(
    await configure({ ...workspace, environment }, entry.config),
    request,
    options.redo ? 'redo' : 'undo',
    {
      title: `restore of ${restored ? titleOf(restored) : shortId(entry.snapshot)}`,
      owners: entry.owners,
      mode: attaching ? 'reset' : entry.codeMode,
      ...(attaching ? { ref: entry.ref! } : {}),
      ...(replaced?.changes === undefined ? {} : { undone: replaced.changes }),
    },
  )
}

async function nextStep(
  workspace: ConfiguredWorkspace,
  redo: boolean,
): Promise<{ entry: UndoEntry; snapshot: string }> {
  const log = await workspace.state.undoLog(workspace.worktreeKey)
  const entry = log.entries[redo ? log.position : log.position - 1]
  const snapshot = redo ? entry?.after : entry?.before
  if (entry && snapshot !== undefined) return { entry, snapshot }
  throw new EnvError('refused', redo ? 'there is no undo to take back' : 'there is no restore to take back', {
    hint: 'git env log --snapshots --all shows all snapshots, also those taken before each restore',
  })
}
