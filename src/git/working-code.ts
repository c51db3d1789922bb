import { EnvError } from '../domain/errors.ts'
import type { Trace } from '../system/trace.ts'
import { BranchSwap } from './branch-swap.ts'
import type { CodeStaged } from './code-plan.ts'
import { previewCode, stageCode } from './code-stage.ts'
import { WorkTreeSwap } from './code-swap.ts'
import type { CodeSwap, WorkingCode } from './git-repository.ts'
import { keepChanges } from './keep-changes.ts'
import type { RecordContext } from './record.ts'
import { toCodeStatus, workTreeStatus } from './work-tree-status.ts'

/** The code of this work tree; in a bare repository there is none, and only branches move. */
export function openWorkingCode(context: RecordContext): WorkingCode {
  const { git, location } = context
  const { topLevel, gitDirectory } = location
  return {
    status: async ({ exclude }) =>
      topLevel === undefined
        ? { changed: [], untracked: [] }
        : toCodeStatus(await workTreeStatus(git, topLevel, exclude)),
    keepChanges: async ({ exclude }) =>
      topLevel === undefined ? undefined : keepChanges({ git, topLevel, gitDirectory }, exclude),
    stage: (options) => stageCode(context, options),
    swap: (staged, trace) => openSwap(context, staged as unknown as CodeStaged, trace),
    preview: (target, { exclude }) => previewCode(context, target, exclude),
  }
}

function openSwap(context: RecordContext, staged: CodeStaged, trace: Trace): CodeSwap {
  if (!staged.files) return new BranchSwap(context, staged, trace)
  const { topLevel } = context.location
  if (topLevel === undefined) {
    throw new EnvError('refused', 'this restore was begun in a work tree, and here is none', {
      hint: 'run git env recover in the work tree that it was begun in',
    })
  }
  return new WorkTreeSwap(context, topLevel, staged, trace)
}
