import { EnvError } from '../domain/errors.ts'
import type { Trace } from '../system/trace.ts'
import type { CodeStaged } from './code-plan.ts'
import type { CodeSwap, WorkingCode } from './git-repository.ts'
import type { RecordContext } from './record.ts'

/**
 * The code of this work tree; in a bare repository there is none, and only branches move.
 * Each part is loaded when it is used: commands that only look need none of them.
 */
export function openWorkingCode(context: RecordContext): WorkingCode {
  const { git, location } = context
  const { topLevel, gitDirectory } = location
  return {
    status: async ({ exclude }) => {
      if (topLevel === undefined) return { changed: [], untracked: [] }
      const { toCodeStatus, workTreeStatus } = await import('./work-tree-status.ts')
      return toCodeStatus(await workTreeStatus(git, topLevel, exclude))
    },
    keepChanges: async ({ exclude }) => {
      if (topLevel === undefined) return undefined
      const { keepChanges } = await import('./keep-changes.ts')
      return keepChanges({ git, topLevel, gitDirectory }, exclude)
    },
    stage: async (options) => (await import('./code-stage.ts')).stageCode(context, options),
    swap: (staged, trace) => openSwap(context, staged as unknown as CodeStaged, trace),
    preview: async (target, { exclude }) => (await import('./code-stage.ts')).previewCode(context, target, exclude),
  }
}

async function openSwap(context: RecordContext, staged: CodeStaged, trace: Trace): Promise<CodeSwap> {
  if (!staged.files) {
    const { BranchSwap } = await import('./branch-swap.ts')
    return new BranchSwap(context, staged, trace)
  }
  const { topLevel } = context.location
  if (topLevel === undefined) {
    throw new EnvError('refused', 'this restore was begun in a work tree, and here is none', {
      hint: 'run git env recover in the work tree that it was begun in',
    })
  }
  const { WorkTreeSwap } = await import('./code-swap.ts')
  return new WorkTreeSwap(context, topLevel, staged, trace)
}
