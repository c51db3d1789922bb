import type { Environment } from '../domain/environment.ts'
import { EnvError } from '../domain/errors.ts'
import { isSnapshotId, isSnapshotIdPrefix, shortId } from '../domain/snapshot-id.ts'
import type { GitRepository, SnapshotCommit } from '../git/git-repository.ts'

/** What people may call a snapshot, in the order in which it is tried. */
export const snapshotNames = 'an id or the beginning of one, a name, latest, latest~2, @{yesterday}, or a revision'

/** Finds the snapshot that a text names. Throws `not-found`, or `usage` when it names more than one. */
export async function resolveSnapshot(
  git: GitRepository,
  environment: Environment,
  text: string,
): Promise<SnapshotCommit> {
  const latest = /^latest(?:~(\d{1,6}))?$/.exec(text)
  const date = /^@\{(.+)\}$/.exec(text)
  if (latest || date) {
    const candidates = (await git.snapshots()).filter((snapshot) => isLatestCandidate(snapshot, environment))
    return date
      ? before(candidates, await git.date(date[1]!), text)
      : nth(candidates, Number(latest![1] ?? 0), environment)
  }
  const lower = text.toLowerCase()
  const found = isSnapshotId(lower) ? await git.snapshot(lower) : await byNameOrPrefix(git, environment, text)
  return found ?? (await git.snapshotAt(text)) ?? notFound(text)
}

/** `latest` means whole snapshots that a person, a push or the schedule took, of this environment. */
function isLatestCandidate(snapshot: SnapshotCommit, environment: Environment): boolean {
  return (
    !snapshot.partial &&
    snapshot.environment === environment.name &&
    ['manual', 'push', 'schedule'].includes(snapshot.trigger)
  )
}

function nth(candidates: readonly SnapshotCommit[], n: number, environment: Environment): SnapshotCommit {
  const snapshot = candidates[n]
  if (snapshot) return snapshot
  const have = candidates.length === 1 ? 'one' : candidates.length === 0 ? 'none' : String(candidates.length)
  throw new EnvError(
    'not-found',
    `environment ${environment.name} has ${have} such snapshot${candidates.length > 1 ? 's' : ''}`,
    {
      hint: candidates.length === 0 ? 'git env snapshot takes one' : 'git env log --snapshots lists them',
    },
  )
}

function before(candidates: readonly SnapshotCommit[], date: Date, text: string): SnapshotCommit {
  const snapshot = candidates.find((candidate) => candidate.createdAt <= date)
  if (snapshot) return snapshot
  throw new EnvError('not-found', `no snapshot is as old as ${text} (${date.toISOString()})`, {
    hint: 'git env log --snapshots lists them',
  })
}

async function byNameOrPrefix(
  git: GitRepository,
  environment: Environment,
  text: string,
): Promise<SnapshotCommit | undefined> {
  const snapshots = await git.snapshots()
  const named = snapshots.filter((snapshot) => snapshot.name === text)
  const own = named.filter((snapshot) => snapshot.environment === environment.name)
  if (own.length > 0 || named.length === 1) return own[0] ?? named[0]
  if (!isSnapshotIdPrefix(text)) return undefined
  const matches = snapshots.filter((snapshot) => snapshot.id.startsWith(text.toLowerCase()))
  if (matches.length > 1) {
    const ids = matches.slice(0, 5).map((snapshot) => shortId(snapshot.id))
    throw new EnvError('usage', `${text} begins the ids of ${matches.length} snapshots: ${ids.join(', ')}`, {
      hint: 'give more of the id',
    })
  }
  return matches[0]
}

function notFound(text: string): never {
  throw new EnvError('not-found', `no snapshot is called ${JSON.stringify(text)}`, {
    hint: `a snapshot is called by ${snapshotNames}; git env log --snapshots lists them`,
  })
}
