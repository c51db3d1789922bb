import { EnvError } from '../domain/errors.ts'
import { displayPath } from '../domain/tree.ts'
import { hashFiles } from './blobs.ts'
import type { CodeStatus } from './git-repository.ts'
import { below, isCovered } from './paths.ts'
import type { Git } from './run-git.ts'
import { lstatOrUndefined } from './work-files.ts'

/** One tracked path whose index differs from HEAD (`staged`) or whose file differs from the index (`unstaged`). */
export type TrackedChange = {
  readonly path: string
  readonly staged: boolean
  readonly unstaged: boolean
  /** `git add -N`: in the index by name only. */
  readonly intentToAdd: boolean
  /** In the index at all. */
  readonly inIndex: boolean
  /** A submodule; `dirty` when tracked files inside it are changed. */
  readonly submodule: { readonly dirty: boolean } | undefined
  readonly unmerged: boolean
}

export type WorkTreeStatus = {
  readonly tracked: readonly TrackedChange[]
  /** Files that are neither tracked nor ignored. Repositories inside are left out: their content is theirs. */
  readonly untracked: readonly string[]
}

/**
 * What differs from HEAD in index and work tree. `exclude` are the paths of mounts and services: untracked files in them are theirs,
 * and so is a tracked file that one of them names itself.
 */
export async function workTreeStatus(git: Git, top: string, exclude: ReadonlySet<string>): Promise<WorkTreeStatus> {
  const [records, hidden] = await Promise.all([
    git.list(['status', '--porcelain=v2', '-z', '--untracked-files=all', '--no-renames', '--ignore-submodules=none']),
    hiddenChanges(git, top),
  ])
  const tracked: TrackedChange[] = []
  const untracked: string[] = []
  for (const record of records) {
    if (record.startsWith('? ')) {
      const path = record.slice(2)
      if (!path.endsWith('/') && !isCovered(exclude, path)) untracked.push(path)
    } else {
      const change = parseTracked(record)
      if (change && !exclude.has(change.path)) tracked.push(change)
    }
  }
  const seen = new Set(tracked.map(({ path }) => path))
  tracked.push(...hidden.filter(({ path }) => !seen.has(path) && !exclude.has(path)))
  return { tracked: tracked.sort(byPath), untracked: untracked.sort() }
}

export function toCodeStatus(status: WorkTreeStatus): CodeStatus {
  return { changed: status.tracked.map(({ path }) => path), untracked: status.untracked }
}

export function refuseUnmerged(status: WorkTreeStatus): void {
  const unmerged = status.tracked.filter((change) => change.unmerged)
  if (unmerged.length === 0) return
  throw new EnvError(
    'refused',
    `a conflict is not resolved: ${unmerged.map(({ path }) => displayPath(path)).join(', ')}`,
    {
      hint: 'resolve it and git add the files, or abort the merge',
    },
  )
}

/** `1 XY sub mH mI mW hH hI path` or `u XY sub m1 m2 m3 mW h1 h2 h3 path`. */
function parseTracked(record: string): TrackedChange | undefined {
  const kind = record[0]
  if (kind !== '1' && kind !== 'u') return undefined
  const fields = record.split(' ')
  const [, state = '..', sub = 'N...'] = fields
  const indexMode = kind === '1' ? fields[4] : undefined
  return {
    path: fields.slice(kind === '1' ? 8 : 10).join(' '),
    staged: state[0] !== '.',
    unstaged: state[1] !== '.',
    intentToAdd: state === '.A',
    inIndex: indexMode !== '000000',
    submodule: sub.startsWith('S') ? { dirty: sub[2] === 'M' } : undefined,
    unmerged: kind === 'u',
  }
}

/** Files that the user told Git not to look at (skip-worktree, assume-unchanged) and that differ all the same. */
async function hiddenChanges(git: Git, top: string): Promise<TrackedChange[]> {
  const flagged = (await git.list(['ls-files', '-z', '-v'])).filter((line) => /^[a-zS]/.test(line))
  const present: string[] = []
  for (const line of flagged) if (await lstatOrUndefined(below(top, line.slice(2)))) present.push(line.slice(2))
  if (present.length === 0) return []
  const wanted = new Set(present)
  const index = new Map<string, string>()
  for (const line of await git.list(['ls-files', '-z', '-s'])) {
    const [facts = '', path = ''] = splitOnce(line, '\t')
    if (wanted.has(path)) index.set(path, facts.split(' ')[1]!)
  }
  const ids = await hashFiles(git, top, present, { filters: true })
  return present
    .filter((path) => ids.get(path) !== index.get(path))
    .map((path) => ({
      path,
      staged: false,
      unstaged: true,
      intentToAdd: false,
      inIndex: true,
      submodule: undefined,
      unmerged: false,
    }))
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return [text.slice(0, at), text.slice(at + 1)]
}

function byPath(a: { readonly path: string }, b: { readonly path: string }): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0
}
