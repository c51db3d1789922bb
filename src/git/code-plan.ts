import type { Staged } from '../domain/swap.ts'
import { blobsOf } from './blobs.ts'
import { type Overlay, readOverlay } from './kept-changes.ts'
import type { FilesContext } from './live-files.ts'
import { findObstacles } from './obstacles.ts'
import { below } from './paths.ts'
import type { Git } from './run-git.ts'
import { isSubmodule, type TreeChange, type TreeFile, treeDiff, treeFiles } from './tree-diff.ts'
import { lstatOrUndefined } from './work-files.ts'
import type { WorkTreeStatus } from './work-tree-status.ts'

/** What the journal keeps of the code's part of a restore. Paths are byte strings. */
export type CodeStaged = {
  readonly id: string
  readonly mode: 'append' | 'detach' | 'reset' | 'none'
  /** HEAD's commit when it was staged, and the one that it is to be. */
  readonly old: string
  readonly new: string
  /** The branch that HEAD is on, and the one that it is to be on; null when detached. */
  readonly headRef: string | null
  readonly endRef: string | null
  /** The tip of `endRef` when it was staged; null when there is no such branch. */
  readonly endRefOld: string | null
  /** Whether files are touched; else only the branch moves. */
  readonly files: boolean
  readonly changes: string | null
  readonly exclude: readonly string[]
  readonly remove: readonly string[]
  readonly asideDirectory: string
  /** Uncommitted code as the last capture kept it. */
  readonly captured: { readonly commit: string; readonly files: number } | null
}

export function asStaged(staged: CodeStaged): Staged {
  return { ...staged, captured: staged.captured === null ? null : { ...staged.captured } }
}

/** The paths that a swap is about. */
export type Work = {
  readonly changes: readonly TreeChange[]
  readonly overlay: Overlay | undefined
  /** Files of the commit before. */
  readonly tracked: ReadonlyMap<string, TreeFile>
}

export async function readWork(git: Git, staged: Pick<CodeStaged, 'old' | 'new' | 'changes'>): Promise<Work> {
  const [changes, overlay, tracked] = await Promise.all([
    treeDiff(git, staged.old, staged.new),
    staged.changes === null ? undefined : readOverlay(git, staged.changes, staged.new),
    treeFiles(git, staged.old),
  ])
  return { changes: changes.filter(({ from, to }) => !isSubmodule(from) && !isSubmodule(to)), overlay, tracked }
}

/** Paths that a swap makes into files, in its course or at its end. */
export function incomingPaths(work: Work, status: WorkTreeStatus): Set<string> {
  const incoming = new Set(work.changes.filter(({ to }) => to !== undefined).map(({ path }) => path))
  for (const path of work.overlay?.raw.keys() ?? []) incoming.add(path)
  for (const path of work.overlay?.fromIndex.keys() ?? []) incoming.add(path)
  for (const { path, submodule } of status.tracked) if (!submodule && work.tracked.has(path)) incoming.add(path)
  return incoming
}

/**
 * `paths`: everything that has to be set aside before the code can move: changed tracked files, and what is in the way.
 * `stay`: untracked files that are already what they are to become.
 */
export async function pathsToSetAside(
  context: Pick<FilesContext, 'git' | 'top'>,
  work: Work,
  status: WorkTreeStatus,
  staged: Pick<CodeStaged, 'exclude' | 'remove'>,
): Promise<{ readonly paths: string[]; readonly stay: string[] }> {
  const { git, top } = context
  const tracked = new Set(work.tracked.keys())
  const changed: string[] = []
  for (const { path, submodule } of status.tracked) {
    const stats = submodule ? undefined : await lstatOrUndefined(below(top, path))
    if (stats && !stats.isDirectory()) changed.push(path)
  }
  const exclude = new Set(staged.exclude)
  const known = new Set([...tracked, ...changed])
  const obstacles = await findObstacles({ top, incoming: incomingPaths(work, status), tracked: known, exclude })
  const same = await alreadyThere(git, top, obstacles, work.overlay)
  const removed: string[] = []
  for (const path of staged.remove) {
    if (known.has(path) || work.overlay?.raw.has(path)) continue
    if (await lstatOrUndefined(below(top, path))) removed.push(path)
  }
  const paths = [...new Set([...changed, ...obstacles.filter((path) => !same.has(path)), ...removed])].sort()
  return { paths, stay: [...same] }
}

async function alreadyThere(git: Git, top: string, obstacles: readonly string[], overlay: Overlay | undefined) {
  const candidates = obstacles.filter((path) => overlay?.raw.has(path))
  const live = await blobsOf(git, top, candidates, { filters: false })
  return new Set(
    candidates.filter((path) => {
      const [a, b] = [live.get(path), overlay!.raw.get(path)]
      return a?.id === b?.id && a?.mode === b?.mode
    }),
  )
}
