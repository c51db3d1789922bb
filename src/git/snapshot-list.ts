import { parseSnapshotMessage, type SnapshotFacts } from '../domain/snapshot-message.ts'
import { type RawCommit, readCommits, resolveObjects } from './commits.ts'
import type { SnapshotCommit } from './git-repository.ts'
import { snapshotRefs } from './record.ts'
import type { Git } from './run-git.ts'

const fields = ['refname', 'objectname', 'tree', 'parent', 'committerdate:unix', 'contents'] as const

/** Snapshots by their refs, newest first: ids sort by time. One call of Git for all of them, whatever their number. */
export async function listSnapshots(git: Git, limit?: number): Promise<SnapshotCommit[]> {
  const count = limit === undefined ? [] : [`--count=${limit}`]
  const format = fields.map((field) => `%(${field})%00`).join('')
  const { stdout } = await git.run(['for-each-ref', '--sort=-refname', ...count, `--format=${format}`, snapshotRefs])
  const values = stdout.toString('utf8').split('\0')
  const candidates: Candidate[] = []
  for (let i = 0; i + fields.length <= values.length; i += fields.length) {
    // Git ends each record with a line break, which so becomes the first character of the next.
    const id = values[i]!.trimStart().slice(snapshotRefs.length)
    const commit = {
      commit: values[i + 1]!,
      tree: values[i + 2]!,
      parents: values[i + 3]!.split(' ').filter((parent) => parent !== ''),
      committedAt: new Date(Number(values[i + 4]) * 1000),
      message: values[i + 5]!,
    }
    const facts = parseSnapshotMessage(commit.message)
    if (facts?.id === id) candidates.push({ commit, facts })
  }
  return validate(git, candidates, 'trust trailers')
}

export type Candidate = { readonly commit: RawCommit; readonly facts: SnapshotFacts }

/**
 * Those candidates that are snapshot commits: one parent, and the parent's tree. `trust trailers`: where `Snapshot-Tree` is the commit's own
 * tree, it is believed that the parent's is too, which holds for commits that a ref of ours names.
 */
export async function validate(
  git: Git,
  candidates: readonly Candidate[],
  mode: 'trust trailers' | 'check all',
  knownTrees: ReadonlyMap<string, string> = new Map(),
): Promise<SnapshotCommit[]> {
  const single = candidates.filter(({ commit }) => commit.parents.length === 1)
  const trusted = (candidate: Candidate) => mode === 'trust trailers' && candidate.facts.tree === candidate.commit.tree
  const parentOf = (candidate: Candidate) => candidate.commit.parents[0]!
  const unknown = single.filter((candidate) => !trusted(candidate) && !knownTrees.has(parentOf(candidate)))
  const trees = await resolveObjects(git, [...new Set(unknown.map((candidate) => `${parentOf(candidate)}^{tree}`))])
  return single
    .filter((candidate) => {
      if (trusted(candidate)) return true
      const parent = knownTrees.get(parentOf(candidate)) ?? trees.get(`${parentOf(candidate)}^{tree}`)
      // Where a shallow clone ends the parent is not there; the trailer is all there is to go by.
      return (parent ?? candidate.facts.tree) === candidate.commit.tree
    })
    .map(toSnapshot)
}

function toSnapshot({ commit, facts }: Candidate): SnapshotCommit {
  const parent = commit.parents[0]!
  return {
    id: facts.id,
    commit: commit.commit,
    parent,
    tree: commit.tree,
    environment: facts.environment,
    name: facts.name,
    message: facts.message,
    trigger: facts.trigger,
    manifest: facts.manifest,
    code: facts.code ?? parent,
    partial: facts.partial,
    createdAt: facts.createdAt ?? commit.committedAt,
    expiresAt: facts.expiresAt,
    changes: facts.changes,
  }
}

/** The snapshot that a commit carries, checked in full. */
export async function snapshotOf(git: Git, name: string): Promise<SnapshotCommit | undefined> {
  const commit = (await readCommits(git, [name])).get(name)
  const facts = commit && parseSnapshotMessage(commit.message)
  return facts && (await validate(git, [{ commit, facts }], 'check all'))[0]
}
