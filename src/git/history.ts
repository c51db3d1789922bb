import { isSnapshotId } from '../domain/snapshot-id.ts'
import { parseRestored, parseSnapshotMessage, subjectOf } from '../domain/snapshot-message.ts'
import { parseTrailers, trailerValues } from '../domain/trailers.ts'
import type { RawCommit } from './commits.ts'
import { resolveObjects } from './commits.ts'
import type { GraphLine, LogEntry, LogOptions, SnapshotCommit } from './git-repository.ts'
import { snapshotRefs, updateRefs } from './record.ts'
import type { Git } from './run-git.ts'
import { type Candidate, snapshotOf, validate } from './snapshot-list.ts'

/** Snapshots by their refs, newest first; so many of them. */
type ListSnapshots = (limit?: number) => Promise<SnapshotCommit[]>

type HistoryCommit = RawCommit & { readonly author: string }

/** One snapshot: by its ref, else by looking through all history; then its ref is made again. */
export async function findSnapshot(git: Git, id: string): Promise<SnapshotCommit | undefined> {
  if (!isSnapshotId(id)) return undefined
  const named = await snapshotOf(git, snapshotRefs + id)
  if (named?.id === id) return named
  const best = (await snapshotsInHistory(git, id)).valid.get(id)
  if (best !== undefined) await createRefs(git, [best])
  return best
}

/** Makes the refs that are missing. `skip`: ids that stay without one, since their data has expired. */
export async function reindexSnapshots(git: Git, skip: ReadonlySet<string>) {
  const names = await git.text(['for-each-ref', '--format=%(refname)', snapshotRefs])
  const known = new Set(names.split('\n').map((name) => name.slice(snapshotRefs.length)))
  known.delete('')
  const { valid, mentions } = await snapshotsInHistory(git, undefined)
  const missing = [...valid.values()].filter(({ id }) => !known.has(id) && !skip.has(id))
  await createRefs(git, missing)
  return { created: missing.map(({ id }) => id).sort(), known: known.size, mentions }
}

async function createRefs(git: Git, snapshots: readonly SnapshotCommit[]): Promise<void> {
  if (snapshots.length === 0) return
  const lines = snapshots.map(({ id, commit }) => `create ${snapshotRefs}${id} ${commit}`)
  await updateRefs(git, lines, 'env: reindex')
}

/** Snapshot commits that any ref reaches, one for each id: the original where it is there, else the newest copy. */
async function snapshotsInHistory(git: Git, id: string | undefined) {
  const commits = await revList(git, ['--all', '--no-merges', `--grep=^Snapshot-Id: ${id ?? ''}`])
  const candidates: Candidate[] = []
  const mentions: string[] = []
  for (const commit of commits) {
    const facts = parseSnapshotMessage(commit.message)
    if (facts) candidates.push({ commit, facts })
    else if (trailerValues(parseTrailers(commit.message), 'Snapshot-Id').length > 0) mentions.push(commit.commit)
  }
  const checked = await validate(git, candidates, 'check all')
  const isValid = new Set(checked.map(({ commit }) => commit))
  mentions.push(...candidates.map(({ commit }) => commit.commit).filter((commit) => !isValid.has(commit)))
  const valid = new Map<string, SnapshotCommit>()
  for (const snapshot of checked) {
    const other = valid.get(snapshot.id)
    if (other === undefined || (other.code !== other.parent && snapshot.code === snapshot.parent)) {
      valid.set(snapshot.id, snapshot)
    }
  }
  return { valid, mentions }
}

/** History of a revision, newest first, with the environment's other snapshots among it by date. */
export async function history(git: Git, list: ListSnapshots, options: LogOptions): Promise<LogEntry[]> {
  const { limit, environment } = options
  const tip = await resolveCommit(git, options.from)
  if (tip === undefined) return []
  const [commits, side] = await Promise.all([
    revList(git, [...maxCount(limit), tip]),
    environment === undefined ? [] : sideSnapshots(list, environment, limit),
  ])
  return withAuthors(git, mergeByDate(await entriesOf(git, commits), side, limit))
}

/** The same with the lines that `git log --graph` draws; side snapshots hang on the commits that they are of. */
export async function historyGraph(git: Git, list: ListSnapshots, options: LogOptions): Promise<GraphLine[]> {
  const { limit, environment } = options
  const tip = await resolveCommit(git, options.from)
  if (tip === undefined) return []
  const side = environment === undefined ? [] : await sideSnapshots(list, environment, limit)
  const starts = [tip, ...side.map((snapshot) => snapshot.commit)]
  // `rev-list --graph --no-commit-header` draws its lines in the wrong order.
  const drawn = [
    'log',
    '--graph',
    '--no-color',
    '--no-show-signature',
    '--format=%x01%H',
    ...maxCount(limit),
    '--stdin',
  ]
  const lines = (await git.text(drawn, { input: lineByLine(starts) })).split('\n').map((line) => line.split('\x01'))
  const ids = lines.flatMap(([, commit]) => commit ?? [])
  const commits = await revList(git, ['--no-walk=unsorted', '--stdin'], lineByLine(ids))
  const entries = new Map((await entriesOf(git, commits)).map((entry) => [entry.commit, entry]))
  return lines.map(([prefix = '', commit]) => ({ prefix: prefix.trimEnd(), entry: entries.get(commit ?? '') }))
}

async function resolveCommit(git: Git, revision: string): Promise<string | undefined> {
  return (await resolveObjects(git, [`${revision}^{commit}`])).get(`${revision}^{commit}`)
}

function maxCount(limit: number | undefined): string[] {
  return limit === undefined ? [] : [`--max-count=${limit}`]
}

function lineByLine(values: readonly string[]): string {
  return values.map((value) => `${value}\n`).join('')
}

async function entriesOf(git: Git, commits: readonly HistoryCommit[]): Promise<LogEntry[]> {
  const [refs, snapshots] = await Promise.all([refNames(git), snapshotsAmong(git, commits)])
  return commits.map((commit) => ({
    commit: commit.commit,
    parents: commit.parents,
    author: commit.author,
    committedAt: commit.committedAt,
    subject: subjectOf(commit.message),
    refs: refs.get(commit.commit) ?? [],
    snapshot: snapshots.get(commit.commit),
    restored: parseRestored(commit.message),
  }))
}

/** Side snapshots come from the list of refs, which has no authors: they are read for those that are shown. */
async function withAuthors(git: Git, entries: readonly LogEntry[]): Promise<LogEntry[]> {
  const nameless = entries.filter((entry) => entry.author === '').map((entry) => entry.commit)
  if (nameless.length === 0) return [...entries]
  const commits = await revList(git, ['--no-walk=unsorted', '--stdin'], lineByLine(nameless))
  const authors = new Map(commits.map(({ commit, author }) => [commit, author]))
  return entries.map((entry) => ({ ...entry, author: entry.author || (authors.get(entry.commit) ?? '') }))
}

async function snapshotsAmong(git: Git, commits: readonly HistoryCommit[]): Promise<Map<string, SnapshotCommit>> {
  const trees = new Map(commits.map((commit) => [commit.commit, commit.tree]))
  const candidates = commits.flatMap((commit) => {
    const facts = parseSnapshotMessage(commit.message)
    return facts ? [{ commit, facts }] : []
  })
  const valid = await validate(git, candidates, 'check all', trees)
  return new Map(valid.map((snapshot) => [snapshot.commit, snapshot]))
}

/** The newest snapshots of an environment; twice as many are asked for until there are enough of this one among them. */
async function sideSnapshots(
  list: ListSnapshots,
  environment: string,
  limit: number | undefined,
): Promise<SnapshotCommit[]> {
  if (limit === undefined) return (await list()).filter((snapshot) => snapshot.environment === environment)
  for (let count = Math.max(limit * 2, 64); ; count *= 8) {
    const all = await list(count)
    const ours = all.filter((snapshot) => snapshot.environment === environment)
    if (ours.length >= limit || all.length < count) return ours.slice(0, limit)
  }
}

/** Keeps the order of the branch, and puts each side snapshot before the first commit that is older. */
function mergeByDate(
  entries: readonly LogEntry[],
  side: readonly SnapshotCommit[],
  limit: number | undefined,
): LogEntry[] {
  const onBranch = new Set(entries.flatMap((entry) => [entry.commit, entry.snapshot?.id ?? '']))
  const others = side.filter((snapshot) => !onBranch.has(snapshot.commit) && !onBranch.has(snapshot.id))
  const merged: LogEntry[] = []
  let next = 0
  for (const entry of entries) {
    while (next < others.length && others[next]!.createdAt >= entry.committedAt) merged.push(sideEntry(others[next++]!))
    merged.push(entry)
  }
  // Past the end of a limited list nobody knows whether a snapshot is on the branch.
  if (limit === undefined || entries.length < limit) merged.push(...others.slice(next).map(sideEntry))
  return merged.slice(0, limit)
}

function sideEntry(snapshot: SnapshotCommit): LogEntry {
  return {
    commit: snapshot.commit,
    parents: [snapshot.parent],
    author: '',
    committedAt: snapshot.createdAt,
    subject: `snapshot: ${snapshot.message}`,
    refs: [`${snapshotRefs}${snapshot.id}`],
    snapshot,
    restored: undefined,
  }
}

/** Branches and tags by the commit they name. */
async function refNames(git: Git): Promise<Map<string, string[]>> {
  const format = '%(objectname)%00%(*objectname)%00%(refname)'
  const output = await git.text(['for-each-ref', `--format=${format}`, 'refs/heads', 'refs/remotes', 'refs/tags'])
  const names = new Map<string, string[]>()
  for (const line of output.split('\n')) {
    const [object, peeled, ref] = line.split('\0')
    if (ref === undefined) continue
    const commit = peeled || object!
    names.set(commit, [...(names.get(commit) ?? []), ref])
  }
  return names
}

async function revList(git: Git, args: readonly string[], input = ''): Promise<HistoryCommit[]> {
  const fields = ['%H', '%T', '%P', '%an', '%ct', '%B']
  const format = `--format=${fields.join('%x00')}%x00`
  const options = ['--no-commit-header', '--encoding=UTF-8', format]
  const { stdout } = await git.run(['rev-list', ...options, ...args], { input })
  const values = stdout.toString('utf8').split('\0')
  const commits: HistoryCommit[] = []
  for (let i = 0; i + fields.length <= values.length; i += fields.length) {
    commits.push({
      commit: values[i]!.trimStart(),
      tree: values[i + 1]!,
      parents: values[i + 2]!.split(' ').filter((parent) => parent !== ''),
      author: values[i + 3]!,
      committedAt: new Date(Number(values[i + 4]) * 1000),
      message: values[i + 5]!,
    })
  }
  return commits
}
