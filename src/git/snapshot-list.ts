import { parseSnapshotMessage, type SnapshotFacts } from '../domain/snapshot-message.ts'
import { type RawCommit, readCommits, resolveObjects } from './commits.ts'
import type { SnapshotCommit } from './git-repository.ts'
import { snapshotRefs } from './record.ts'
import type { Git } from './run-git.ts'
import { type CachedSnapshots, readSnapshotCache, worthCaching, writeSnapshotCache } from './snapshot-cache.ts'

/** Snapshots by their refs, newest first: ids sort by time. Git lists the refs; what their commits say is read once and then remembered. */
export async function listSnapshots(git: Git, cacheFile: string, limit?: number): Promise<SnapshotCommit[]> {
  const count = limit === undefined ? [] : [`--count=${limit}`]
  const format = '--format=%(objectname) %(refname)'
  const [output, known] = await Promise.all([
    git.text(['for-each-ref', '--sort=-refname', ...count, format, snapshotRefs]),
    limit === undefined ? readSnapshotCache(cacheFile) : (new Map() as CachedSnapshots),
  ])
  const refs = output.split('\n').flatMap((line) => {
    const [commit, ref] = line.split(' ')
    return commit && ref ? [{ commit, id: ref.slice(snapshotRefs.length) }] : []
  })
  const unknown = refs.filter(({ commit }) => !known.has(commit)).map(({ commit }) => commit)
  for (const [commit, snapshot] of await readSnapshots(git, unknown)) known.set(commit, snapshot)
  if (limit === undefined && unknown.length > worthCaching) {
    await writeSnapshotCache(cacheFile, new Map(refs.map(({ commit }) => [commit, known.get(commit) ?? null])))
  }
  return refs.flatMap(({ commit, id }) => {
    const snapshot = known.get(commit)
    return snapshot?.id === id ? [snapshot] : []
  })
}

/** What each commit says; null where it is no snapshot commit. */
async function readSnapshots(git: Git, commits: readonly string[]): Promise<CachedSnapshots> {
  const candidates: Candidate[] = []
  for (const commit of (await readCommits(git, commits)).values()) {
    const facts = parseSnapshotMessage(commit.message)
    if (facts) candidates.push({ commit, facts })
  }
  const found: CachedSnapshots = new Map(commits.map((commit) => [commit, null]))
  for (const snapshot of await validate(git, candidates, 'trust trailers')) found.set(snapshot.commit, snapshot)
  return found
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
