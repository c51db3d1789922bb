import { EnvError } from '../domain/errors.ts'
import { readCommits } from './commits.ts'
import type { Git } from './run-git.ts'
import { type TreeFile, treeDiff, treeFiles } from './tree-diff.ts'

/** What a commit of `refs/env/changes/<id>` says about laying it over a commit. */
export type Overlay = {
  /** Tree that the index becomes. */
  readonly indexTree: string
  /** Files to write as their blobs are, byte for byte. */
  readonly raw: ReadonlyMap<string, TreeFile>
  /** Files that are as in the index: checked out from it. */
  readonly fromIndex: ReadonlyMap<string, TreeFile>
  /** Files that are not there. */
  readonly removed: readonly string[]
  /** Paths to `git add -N`. */
  readonly intentToAdd: readonly string[]
}

/** Reads kept changes (see keep-changes.ts for their form) as what differs from `base`. */
export async function readOverlay(git: Git, changes: string, base: string): Promise<Overlay> {
  const kept = (await readCommits(git, [changes])).get(changes)
  const index = kept?.parents[1]
  if (kept === undefined || index === undefined) {
    throw new EnvError('damaged', `the uncommitted code kept as ${changes} is not in this repository`, {
      hint: 'git fetch may bring refs/env/changes; the commit itself can be restored without it',
    })
  }
  const trees = await readCommits(git, kept.parents.slice(1))
  const indexTree = trees.get(index)!.tree
  const untracked = kept.parents[2] === undefined ? new Map() : await treeFiles(git, kept.parents[2])
  const raw = new Map<string, TreeFile>()
  const intentToAdd: string[] = []
  const removed: string[] = []
  for (const { path, to } of await treeDiff(git, indexTree, kept.tree)) {
    if (to === undefined) removed.push(path)
    else if (to.mode !== '160000') raw.set(path, to)
  }
  const inIndex = await treeFiles(git, indexTree)
  for (const path of raw.keys()) if (!inIndex.has(path) && !untracked.has(path)) intentToAdd.push(path)
  const fromIndex = new Map<string, TreeFile>()
  for (const { path, to } of await treeDiff(git, base, indexTree)) {
    if (raw.has(path) || removed.includes(path)) continue
    if (to === undefined) removed.push(path)
    else if (to.mode !== '160000') fromIndex.set(path, to)
  }
  return { indexTree, raw, fromIndex, removed, intentToAdd }
}

/** Paths of the untracked files among kept changes, ordered. */
export async function untrackedOf(git: Git, changes: string): Promise<string[]> {
  const kept = (await readCommits(git, [changes])).get(changes)
  return kept?.parents[2] === undefined ? [] : [...(await treeFiles(git, kept.parents[2])).keys()].sort()
}
