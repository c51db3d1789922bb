import { setTimeout as delay } from 'node:timers/promises'
import { EnvError } from '../domain/errors.ts'
import { isSnapshotId } from '../domain/snapshot-id.ts'
import { parseSnapshotMessage } from '../domain/snapshot-message.ts'
import { type RawCommit, readCommits, resolveObjects } from './commits.ts'
import type { NewSnapshot } from './git-repository.ts'
import type { Location } from './location.ts'
import { operationsInProgress } from './operations.ts'
import type { Git } from './run-git.ts'
import { durable, writeCommitObject } from './write-commit.ts'

export const snapshotRefs = 'refs/env/snapshots/'
const changesRefs = 'refs/env/changes/'
export const undoRefs = 'refs/env/undo/'

const attempts = 20
/** Of these, so many while the branch stands still: somebody has locked it and is not done yet. */
const lockedAttempts = 4
/** How long Git itself waits for a ref that somebody else has locked; its own default is 100. */
const refLockTimeoutMs = 500

export type RecordContext = {
  readonly git: Git
  readonly location: Location
  readonly environment: Readonly<Record<string, string>>
  /** Milliseconds to wait before the next attempt (0 is the first). */
  readonly backoffMs: (attempt: number) => number
}

/** The commit and its refs, in one transaction that fails as a whole when the branch has moved; then it is tried again. */
export async function recordSnapshot(context: RecordContext, snapshot: NewSnapshot): Promise<string> {
  if (!isSnapshotId(snapshot.id)) throw new EnvError('usage', `not a snapshot id: ${JSON.stringify(snapshot.id)}`)
  if (snapshot.placement === 'side') {
    const parent = await readOne(context.git, snapshot.parent)
    return writeAndReference(context, snapshot, parent, undefined)
  }
  const target = await branchOf(context, snapshot)
  let locked = 0
  for (let attempt = 0; ; attempt++) {
    await refuseOperations(context, snapshot.ref)
    const tip = await tipFor(context.git, target, snapshot)
    try {
      return await writeAndReference(context, snapshot, tip, target)
    } catch (error) {
      // Not the text of the error but the branch says whether somebody else was first.
      const now = await readCommits(context.git, [target])
      const created = await readCommits(context.git, [snapshotRefs + snapshot.id])
      const isFirst = now.get(target)?.commit === tip.commit
      if (isFirst) locked++
      if (created.size > 0 || locked === lockedAttempts || attempt + 1 === attempts) throw error
      await delay(context.backoffMs(attempt))
    }
  }
}

/** `HEAD` when detached; else the branch, which HEAD may be on. */
async function branchOf({ git }: RecordContext, { ref }: NewSnapshot): Promise<string> {
  return ref ?? (await git.ask(['symbolic-ref', '-q', 'HEAD'])) ?? 'HEAD'
}

async function writeAndReference(
  context: RecordContext,
  snapshot: NewSnapshot,
  parent: RawCommit,
  branch: string | undefined,
): Promise<string> {
  const { git, location, environment } = context
  const commit = await writeCommitObject(git, location, environment, {
    tree: parent.tree,
    parents: [parent.commit],
    message: snapshot.message,
  })
  const lines = [`create ${snapshotRefs}${snapshot.id} ${commit}`]
  if (branch !== undefined) lines.unshift(`update ${branch} ${commit} ${parent.commit}`)
  if (snapshot.changes !== undefined) {
    const ref = changesRefs + snapshot.id
    // Fetched ahead of an import, it is there already.
    const isThere = (await resolveObjects(git, [ref])).get(ref) === snapshot.changes
    lines.push(`${isThere ? 'verify' : 'create'} ${ref} ${snapshot.changes}`)
  }
  await updateRefs(git, lines, `env: snapshot ${snapshot.id}`)
  return commit
}

/** One transaction of `git update-ref --stdin`: all lines hold, or none. `reason` is for the reflog. */
export async function updateRefs(git: Git, lines: readonly string[], reason: string): Promise<void> {
  const input = ['start', ...lines, 'prepare', 'commit'].map((line) => `${Buffer.from(line).toString('latin1')}\n`)
  const patient = ['-c', `core.filesRefLockTimeout=${refLockTimeoutMs}`]
  await git.run([...durable, ...patient, 'update-ref', '-m', reason, '--create-reflog', '--stdin'], {
    input: input.join(''),
    uninterrupted: true,
  })
}

/** The commit to append to: the one that the data belongs to, or other snapshots of the same code on top of it. */
async function tipFor(git: Git, branch: string, { parent }: NewSnapshot): Promise<RawCommit> {
  const tip = await readOne(git, branch)
  let commit = tip
  while (commit.commit !== parent) {
    const before = commit.parents[0]
    const isSnapshot = parseSnapshotMessage(commit.message) !== undefined && commit.parents.length === 1
    const next = isSnapshot && before !== undefined ? await readOne(git, before) : undefined
    if (next === undefined || next.tree !== commit.tree) {
      const name = branch.replace(/^refs\/heads\//, '')
      throw new EnvError('refused', `${name} has moved on since the data was taken, to ${tip.commit.slice(0, 12)}`, {
        hint: 'the data belongs to the code before that; take the snapshot again',
      })
    }
    commit = next
  }
  return tip
}

async function readOne(git: Git, name: string): Promise<RawCommit> {
  const commit = (await readCommits(git, [name])).get(name)
  if (commit !== undefined) return commit
  if (/^[0-9a-f]{40,64}$/.test(name)) throw new EnvError('damaged', `the commit ${name} is not in this repository`)
  throw new EnvError('refused', `${name.replace(/^refs\/heads\//, '')} has no commit yet`, {
    hint: 'make a first commit, then take the snapshot',
  })
}

/** Moving a branch under a rebase makes the rebase fail at its very end. */
async function refuseOperations({ location }: RecordContext, ref: string | undefined): Promise<void> {
  const operations = await operationsInProgress(location.commonDirectory)
  const blocking = operations.find(
    (operation) =>
      operation.movesBranch &&
      (ref === undefined ? operation.gitDirectory === location.gitDirectory : operation.refs.includes(ref)),
  )
  if (blocking === undefined) return
  throw new EnvError('refused', `${blocking.name} of ${ref?.replace(/^refs\/heads\//, '') ?? 'HEAD'} is in progress`, {
    hint: 'finish it or abort it first; a snapshot with --side leaves the branch where it is',
  })
}
