import { hash, randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { EnvError, systemCode } from '../domain/errors.ts'
import { type Blob, blobsOf } from './blobs.ts'
import { noRepository } from './git-environment.ts'
import { type Git, gitFailure } from './run-git.ts'
import { refuseUnmerged, type TrackedChange, type WorkTreeStatus, workTreeStatus } from './work-tree-status.ts'
import { commitTree, durable } from './write-commit.ts'

export type KeepContext = {
  readonly git: Git
  readonly topLevel: string
  readonly gitDirectory: string
}

export type KeptChanges = { readonly commit: string; readonly files: number }

/** What was kept last, and a digest of all that it was made of: the same again is looked for, and not written again. */
export type LastKept = { digest?: string; kept?: KeptChanges }

/** Nobody needs to be known to Git for changes to be kept; and with HEAD's own date, the same changes are the same commit. */
const keeper = {
  GIT_AUTHOR_NAME: 'git-env',
  GIT_AUTHOR_EMAIL: 'git-env@localhost',
  GIT_COMMITTER_NAME: 'git-env',
  GIT_COMMITTER_EMAIL: 'git-env@localhost',
}

/**
 * Keeps what is not committed as a commit: tree = work tree, first parent = HEAD, second = a commit of the index, third, where there are
 * untracked files, a commit of those alone. A path that only the first tree has was `git add -N`ed.
 */
export async function keepChanges(
  context: KeepContext,
  exclude: ReadonlySet<string>,
  last: LastKept = {},
): Promise<KeptChanges | undefined> {
  for (let attempt = 0; ; attempt++) {
    const status = await workTreeStatus(context.git, context.topLevel, exclude)
    try {
      return await keepStatus(context, status, last)
    } catch (error) {
      // A file that went away between being listed and being read.
      const vanished =
        /No such file|could not open/.test(gitFailure(error)?.stderr ?? '') || systemCode(error) === 'ENOENT'
      if (!vanished || attempt === 4) throw error
    }
  }
}

async function keepStatus(
  context: KeepContext,
  status: WorkTreeStatus,
  last: LastKept,
): Promise<KeptChanges | undefined> {
  refuseUnmerged(status)
  const files = status.tracked.length + status.untracked.length
  if (files === 0) return undefined
  const { git, topLevel } = context
  const submodules = status.tracked.filter((change) => change.submodule !== undefined)
  const worktree = status.tracked.filter((change) => change.unstaged && change.submodule === undefined)
  const paths = [...worktree.map((change) => change.path), ...status.untracked]
  const [[head, index], blobs, links] = await Promise.all([
    headAndIndex(git),
    blobsOf(git, topLevel, paths, { filters: false, write: true }),
    submoduleHeads(git, topLevel, submodules),
  ])
  const digest = hash('sha256', JSON.stringify([head, status, [...blobs], [...links], index && hash('sha256', index)]))
  if (last.kept && last.digest === digest) return last.kept
  const kept = {
    commit: await writeKept(context, { head, index, worktree, untracked: status.untracked, blobs, links }),
    files,
  }
  Object.assign(last, { digest, kept })
  return kept
}

async function headAndIndex(git: Git): Promise<[string, Buffer | undefined]> {
  const place = ['--path-format=absolute', '--git-path', 'index']
  const answer = await git.text(['rev-parse', 'HEAD^{commit}', ...place])
  const head = answer.slice(0, answer.indexOf('\n'))
  const index = await readFile(answer.slice(head.length + 1)).catch((error: unknown) => {
    // No index yet: nothing was ever added or checked out, and Git makes an empty one.
    if (systemCode(error) !== 'ENOENT') throw error
  })
  return [head, index ?? undefined]
}

type Kept = {
  readonly head: string
  readonly index: Buffer | undefined
  readonly worktree: readonly TrackedChange[]
  readonly untracked: readonly string[]
  readonly blobs: ReadonlyMap<string, Blob>
  /** Commits that changed submodules are at. */
  readonly links: ReadonlyMap<string, string>
}

async function writeKept(context: KeepContext, kept: Kept): Promise<string> {
  const { git, gitDirectory } = context
  const { head, blobs } = kept
  const temporary = (what: string) => path.join(gitDirectory, `git-env-${what}-${randomBytes(6).toString('hex')}`)
  // `git write-tree` may write the index, so it is given a copy.
  const copy = { GIT_INDEX_FILE: temporary('index') }
  const only = { GIT_INDEX_FILE: temporary('untracked') }
  try {
    if (kept.index) await writeFile(copy.GIT_INDEX_FILE, kept.index)
    const indexTree = await writeTree(git, copy)
    const changed = kept.worktree.map(({ path }) => indexLine(path, blobs.get(path), head.length))
    const linked = [...kept.links].map(([path, commit]) => `160000 ${commit} 0\t${path}\0`)
    const untracked = kept.untracked
      .filter((path) => blobs.has(path))
      .map((path) => indexLine(path, blobs.get(path), head.length))
    await updateIndex(git, copy, [...changed, ...linked, ...untracked])
    const tree = await writeTree(git, copy)
    await updateIndex(git, only, untracked)
    const untrackedTree = untracked.length > 0 ? await writeTree(git, only) : undefined
    return await writeKeptCommits(git, head, { tree, indexTree, untrackedTree })
  } finally {
    for (const { GIT_INDEX_FILE } of [copy, only]) await rm(GIT_INDEX_FILE, { force: true })
  }
}

export type KeptTrees = {
  readonly tree: string
  readonly indexTree: string
  /** undefined when there are no untracked files. */
  readonly untrackedTree: string | undefined
}

/** The commits that kept changes are; see {@link keepChanges}. */
export async function writeKeptCommits(git: Git, head: string, trees: KeptTrees): Promise<string> {
  const date = await git.text(['rev-list', '--no-commit-header', '--max-count=1', '--format=%ct +0000', head])
  const env = { ...keeper, GIT_AUTHOR_DATE: `@${date}`, GIT_COMMITTER_DATE: `@${date}` }
  const write = (tree: string, parents: readonly string[], what: string) =>
    commitTree(git, { tree, parents, message: `git-env: uncommitted changes: ${what}\n` }, false, env)
  const parents = [head, await write(trees.indexTree, [head], 'index')]
  if (trees.untrackedTree !== undefined) parents.push(await write(trees.untrackedTree, [], 'untracked files'))
  return write(trees.tree, parents, 'work tree')
}

export async function writeTree(git: Git, env: Readonly<Record<string, string>>): Promise<string> {
  return git.text([...durable, 'write-tree'], { env })
}

export async function updateIndex(
  git: Git,
  env: Readonly<Record<string, string>>,
  lines: readonly string[],
): Promise<void> {
  if (lines.length > 0) await git.run(['update-index', '-z', '--index-info'], { env, input: lines.join('') })
}

/** A line for `update-index --index-info -z`; without a blob the path is taken out. `digits`: of an object id in this repository. */
export function indexLine(name: string, blob: Blob | undefined, digits: number): string {
  return blob === undefined ? `0 ${'0'.repeat(digits)} 0\t${name}\0` : `${blob.mode} ${blob.id} 0\t${name}\0`
}

async function submoduleHeads(git: Git, top: string, changes: readonly TrackedChange[]): Promise<Map<string, string>> {
  const heads = new Map<string, string>()
  for (const { path: name } of changes) {
    const directory = `${top}/${Buffer.from(name, 'latin1').toString('utf8')}`
    const head = await git
      .ask(['rev-parse', '--verify', '-q', 'HEAD'], { directory, env: noRepository })
      .catch((error: unknown) => {
        throw new EnvError('refused', `the submodule ${JSON.stringify(name)} cannot be read`, { cause: error })
      })
    if (head !== undefined) heads.set(name, head)
  }
  return heads
}
