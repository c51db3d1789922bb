import path from 'node:path'
import { readCommits, resolveHead } from './commits.ts'
import { absoluteEnvironment, type Variables } from './git-environment.ts'
import type { Branch, CommitInfo, DiffStat, GitRepository, Head } from './git-repository.ts'
import { findSnapshot, history, historyGraph, reindexSnapshots } from './history.ts'
import { type Location, locate } from './location.ts'
import { operationsInProgress } from './operations.ts'
import { type RecordContext, recordSnapshot } from './record.ts'
import { createGit, type Git } from './run-git.ts'
import { listSnapshots, snapshotOf } from './snapshot-list.ts'
import { openWorkingCode } from './working-code.ts'

export type OpenOptions = {
  /** The environment of the command: `GIT_DIR` and its like count, as they do for Git. */
  readonly environment: Variables
  readonly signal?: AbortSignal
  /** Milliseconds before the next attempt at a branch that moved. Must be random, or two processes stay in step. */
  readonly backoffMs?: (attempt: number) => number
}

/** Opens the repository that `directory` lies in, as `git -C <directory>` would find it. */
export async function openGitRepository(directory: string, options: OpenOptions): Promise<GitRepository> {
  const environment = absoluteEnvironment(options.environment, directory)
  const signal = options.signal ? { signal: options.signal } : {}
  const location = await locate(createGit({ directory, environment, ...signal }), directory)
  const git = createGit({ directory: location.topLevel ?? location.gitDirectory, environment, ...signal })
  const backoffMs = options.backoffMs ?? ((attempt) => Math.random() * Math.min(10 * 2 ** attempt, 500))
  return repository({ git, location, environment, backoffMs })
}

function repository(context: RecordContext): GitRepository {
  const { git, location } = context
  const cacheFile = path.join(location.commonDirectory, 'env', 'cache', 'snapshots')
  const list = (limit?: number) => listSnapshots(git, cacheFile, limit)
  return {
    topLevel: location.topLevel,
    gitDirectory: location.gitDirectory,
    commonDirectory: location.commonDirectory,
    head: () => readHead(git),
    branches: () => listBranches(git),
    commit: (revision) => commitInfo(git, revision),
    operationInProgress: (ref) => operationOn(location, ref),
    trackedPaths: async () => new Set(location.topLevel === undefined ? [] : await git.list(['ls-files', '-z'])),
    isIgnored: (name) => isIgnored(git, name),
    record: (snapshot) => recordSnapshot(context, snapshot),
    snapshots: ({ limit } = {}) => list(limit),
    snapshot: (id) => findSnapshot(git, id),
    snapshotAt: (revision) => snapshotOf(git, revision),
    reindex: ({ skip } = {}) => reindexSnapshots(git, skip ?? new Set()),
    log: (options) => history(git, list, options),
    graph: (options) => historyGraph(git, list, options),
    readFile: (commit, name) => readBlob(git, commit, name),
    date: (text) => readDate(git, text),
    diffStat: (from, to) => diffStat(git, from, to),
    code: openWorkingCode(context),
  }
}

async function readHead(git: Git): Promise<Head> {
  const { ref, objects } = await resolveHead(git, ['HEAD^{commit}', 'HEAD^{tree}'])
  return { ref, commit: objects.get('HEAD^{commit}'), tree: objects.get('HEAD^{tree}') }
}

async function listBranches(git: Git): Promise<Branch[]> {
  const fields = ['refname', 'objectname', 'committerdate:unix', 'worktreepath', 'contents:subject']
  const format = fields.map((field) => `%(${field})%00`).join('')
  const values = (await git.text(['for-each-ref', '--sort=refname', `--format=${format}`, 'refs/heads'])).split('\0')
  const branches: Branch[] = []
  for (let i = 0; i + fields.length <= values.length; i += fields.length) {
    const ref = values[i]!.trimStart()
    branches.push({
      ref,
      name: ref.slice('refs/heads/'.length),
      commit: values[i + 1]!,
      committedAt: new Date(Number(values[i + 2]) * 1000),
      worktree: values[i + 3] === '' ? undefined : values[i + 3],
      subject: values[i + 4]!,
    })
  }
  return branches
}

async function commitInfo(git: Git, revision: string): Promise<CommitInfo | undefined> {
  const found = (await readCommits(git, [revision])).get(revision)
  if (found === undefined) return undefined
  const { commit, tree, parents, committedAt } = found
  return { commit, tree, parents, committedAt }
}

/** Without a ref: what is in progress in this work tree. */
async function operationOn(location: Location, ref: string | undefined): Promise<string | undefined> {
  const operations = await operationsInProgress(location.commonDirectory)
  return operations.find((operation) =>
    ref === undefined ? operation.gitDirectory === location.gitDirectory : operation.refs.includes(ref),
  )?.name
}

async function isIgnored(git: Git, name: string): Promise<boolean> {
  const input = Buffer.from(`${name}\0`, 'utf8')
  return (await git.ask(['check-ignore', '-z', '--stdin'], { input })) !== undefined
}

async function readBlob(git: Git, commit: string, name: string): Promise<Uint8Array | undefined> {
  if (/[\n\0]/.test(name)) return undefined
  const { stdout } = await git.run(['cat-file', '--batch'], { input: Buffer.from(`${commit}:${name}\n`, 'utf8') })
  const end = stdout.indexOf(0x0a)
  const size = /^[0-9a-f]+ blob (\d+)$/.exec(stdout.toString('latin1', 0, end))?.[1]
  return size === undefined ? undefined : stdout.subarray(end + 1, end + 1 + Number(size))
}

/** Git takes nearly everything for a date; what it does not understand is now. */
async function readDate(git: Git, text: string): Promise<Date> {
  const answer = await git.text(['rev-parse', `--since=${text.replaceAll('\0', '')}`])
  return new Date(Number(/^--max-age=(\d+)$/.exec(answer)?.[1] ?? Number.NaN) * 1000)
}

async function diffStat(git: Git, from: string, to: string): Promise<DiffStat> {
  const records = await git.list([
    'diff-tree',
    '-r',
    '--no-renames',
    '--name-status',
    '-z',
    '--end-of-options',
    from,
    to,
  ])
  const states = records.filter((_, i) => i % 2 === 0)
  const count = (pattern: RegExp) => states.filter((state) => pattern.test(state)).length
  return { added: count(/^A/), changed: count(/^[MT]/), removed: count(/^D/) }
}
