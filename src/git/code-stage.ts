import { EnvError } from '../domain/errors.ts'
import { displayPath } from '../domain/tree.ts'
import { makeDirectory } from '../system/durable-file.ts'
import { asStaged, type CodeStaged, pathsToSetAside, readWork } from './code-plan.ts'
import { type RawCommit, readCommits } from './commits.ts'
import type { CodeStageOptions, CodeTarget, DiffStat } from './git-repository.ts'
import { untrackedOf } from './kept-changes.ts'
import { operationsInProgress } from './operations.ts'
import type { RecordContext } from './record.ts'
import type { Git } from './run-git.ts'
import { refuseUnmerged, workTreeStatus } from './work-tree-status.ts'
import { writeCommitObject } from './write-commit.ts'

/** Makes the restore commit and refuses what cannot be done; nothing that anybody sees has changed. */
export async function stageCode(context: RecordContext, options: CodeStageOptions) {
  const { git, location } = context
  const { mode, target, id } = options
  const files = location.topLevel !== undefined && mode !== 'none'
  if (!files && mode === 'detach') {
    throw new EnvError('refused', 'a repository without a work tree has nothing to detach', {
      hint: 'leave out --detach',
    })
  }
  const headRef = (await git.ask(['symbolic-ref', '-q', 'HEAD'])) ?? null
  const endRef = mode === 'detach' ? null : mode === 'reset' ? (options.ref ?? headRef) : headRef
  const commits = await readCommits(git, ['HEAD', target.commit, ...(endRef === null ? [] : [endRef])])
  const [head, goal] = [commits.get('HEAD'), commits.get(target.commit)]
  if (head === undefined) throw unborn()
  if (goal === undefined) throw gone(target.commit)
  await refuseOperations(context, mode, endRef)
  const commit = await restoreCommit(context, options, head, goal)
  const staged: CodeStaged = {
    id,
    mode,
    old: head.commit,
    new: commit,
    headRef,
    endRef,
    endRefOld: (endRef === null ? undefined : commits.get(endRef)?.commit) ?? null,
    files,
    changes: files ? (target.changes ?? null) : null,
    exclude: [...options.exclude].sort(),
    remove: options.undone === undefined ? [] : await untrackedOf(git, options.undone),
    asideDirectory: options.asideDirectory,
    captured: null,
  }
  if (files) await refuseObstacles(git, location.topLevel!, staged)
  await makeDirectory(options.asideDirectory)
  return asStaged(staged)
}

function unborn(): EnvError {
  return new EnvError('refused', 'this branch has no commit yet', { hint: 'make a first commit, then restore' })
}

function gone(commit: string): EnvError {
  return new EnvError('damaged', `the code of the snapshot, ${commit.slice(0, 12)}, is not in this repository`, {
    hint: 'git fetch may bring it; --data-only restores the data without it',
  })
}

/** `detach` and `reset` go to the snapshot's own commit; the others append one with its tree. */
async function restoreCommit(
  { git, location, environment }: RecordContext,
  { mode, message }: CodeStageOptions,
  head: RawCommit,
  goal: RawCommit,
): Promise<string> {
  if (mode === 'detach' || mode === 'reset') return goal.commit
  const tree = mode === 'none' ? head.tree : goal.tree
  return writeCommitObject(git, location, environment, { tree, parents: [head.commit], message })
}

async function refuseOperations({ location }: RecordContext, mode: CodeStageOptions['mode'], ref: string | null) {
  const operations = await operationsInProgress(location.commonDirectory)
  const blocking = operations.find(
    (operation) =>
      (operation.gitDirectory === location.gitDirectory && (mode !== 'none' || operation.movesBranch)) ||
      (operation.movesBranch && ref !== null && operation.refs.includes(ref)),
  )
  if (blocking === undefined) return
  throw new EnvError('refused', `${blocking.name} is in progress`, {
    hint: 'finish it or abort it first, then restore',
  })
}

/** Finds early what `forward` would have to refuse. */
async function refuseObstacles(git: Git, top: string, staged: CodeStaged): Promise<number> {
  const status = await workTreeStatus(git, top, new Set(staged.exclude))
  refuseUnmerged(status)
  const dirty = status.tracked.find((change) => change.submodule?.dirty)
  if (dirty !== undefined) {
    throw new EnvError('refused', `the submodule ${displayPath(dirty.path)} has changes of its own`, {
      hint: 'commit or stash them in the submodule first',
    })
  }
  return (await pathsToSetAside({ git, top }, await readWork(git, staged), status, staged)).paths.length
}

/** What a restore would do to files, without doing it. */
export async function previewCode(
  { git, location }: RecordContext,
  target: CodeTarget,
  exclude: ReadonlySet<string>,
): Promise<DiffStat & { readonly setAside: number }> {
  const commits = await readCommits(git, ['HEAD', target.commit])
  const [head, goal] = [commits.get('HEAD'), commits.get(target.commit)]
  if (head === undefined) throw unborn()
  if (goal === undefined) throw gone(target.commit)
  const staged = {
    old: head.commit,
    new: goal.commit,
    changes: target.changes ?? null,
    exclude: [...exclude],
    remove: [],
  }
  const work = await readWork(git, staged)
  const status = location.topLevel
    ? await workTreeStatus(git, location.topLevel, exclude)
    : { tracked: [], untracked: [] }
  const aside = location.topLevel
    ? await pathsToSetAside({ git, top: location.topLevel }, work, status, staged)
    : undefined
  return {
    added: work.changes.filter(({ from }) => from === undefined).length,
    removed: work.changes.filter(({ to }) => to === undefined).length,
    changed: work.changes.filter(({ from, to }) => from !== undefined && to !== undefined).length,
    setAside: aside?.paths.length ?? 0,
  }
}
