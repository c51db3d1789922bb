import { EnvError } from '../domain/errors.ts'
import type { WorkingCode } from './git-repository.ts'
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
    stage: async () => notYet(),
    swap: () => notYet(),
    preview: async () => notYet(),
  }
}

function notYet(): never {
  throw new EnvError('bug', 'the code part of a restore is not there yet')
}
