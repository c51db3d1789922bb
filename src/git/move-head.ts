import { EnvError } from '../domain/errors.ts'
import type { CodeStaged } from './code-plan.ts'
import { resolveHead, resolveObjects } from './commits.ts'
import type { IndexLock } from './index-lock.ts'
import { undoRefs, updateRefs } from './record.ts'
import type { Git } from './run-git.ts'
import { durable } from './write-commit.ts'

/** Where HEAD and the branch that it ends on are now. */
export type HeadState = {
  readonly ref: string | null
  readonly commit: string | undefined
  readonly endTip: string | undefined
}

export async function headState(git: Git, staged: CodeStaged): Promise<HeadState> {
  const end = staged.endRef
  const { ref, objects } = await resolveHead(git, ['HEAD^{commit}', ...(end === null ? [] : [`${end}^{commit}`])])
  return { ref: ref ?? null, commit: objects.get('HEAD^{commit}'), endTip: objects.get(`${end}^{commit}`) }
}

/** HEAD and branch are where the restore takes them. A branch that has gone on from there counts. */
export async function isMoved(git: Git, staged: CodeStaged): Promise<boolean> {
  const state = await headState(git, staged)
  if (!staged.files) {
    const tip = staged.endRef === null ? state.commit : state.endTip
    return tip !== undefined && (tip === staged.new || (tip !== staged.old && (await contains(git, tip, staged.new))))
  }
  return state.ref === staged.endRef && state.commit === staged.new
}

async function contains(git: Git, tip: string, commit: string): Promise<boolean> {
  const { exitCode } = await git.run(['merge-base', '--is-ancestor', commit, tip], { answers: [1, 128] })
  return exitCode === 0
}

/** HEAD and branch are where they were when the restore was staged. */
export async function isUnmoved(git: Git, staged: CodeStaged): Promise<boolean> {
  const { ref, commit, endTip } = await headState(git, staged)
  const end = staged.endRef === null || (endTip ?? null) === staged.endRefOld
  return ref === staged.headRef && commit === staged.old && end
}

/** HEAD is where it was, though a branch that it was not on may have moved: a `checkout -B` that was cut short. */
export async function isHeadUnmoved(git: Git, staged: CodeStaged): Promise<boolean> {
  const { ref, commit } = await headState(git, staged)
  return ref === staged.headRef && commit === staged.old
}

export function movedOn(staged: CodeStaged): EnvError {
  const name = (staged.endRef ?? staged.headRef)?.replace(/^refs\/heads\//, '') ?? 'HEAD'
  return new EnvError('refused', `${name} has moved since the restore was staged`, {
    hint: 'somebody committed or switched branches meanwhile; run the command again',
  })
}

/** Moves HEAD, branch, index and files together, by the commands that overwrite nothing; both fail when HEAD has moved. */
export async function moveWithFiles(lock: IndexLock, git: Git, staged: CodeStaged): Promise<void> {
  const env = { GIT_ENV_HOOK: '1', GIT_LFS_SKIP_SMUDGE: '1', GIT_REFLOG_ACTION: `env restore ${staged.id}` }
  const quiet = [...durable, '-c', 'gc.auto=0', '-c', 'maintenance.auto=false', '-c', 'submodule.recurse=false']
  await keepTip(git, staged)
  const safely = ['checkout', '-q', '--no-overwrite-ignore']
  const command = {
    append: mergeCommand,
    none: mergeCommand,
    detach: [...safely, '--detach'],
    reset:
      staged.endRef === null ? [...safely, '--detach'] : [...safely, '-B', staged.endRef.slice('refs/heads/'.length)],
  }[staged.mode]
  await lock.run([...quiet, ...command, staged.new], { env })
}

const mergeCommand = [
  'merge',
  '-q',
  '--ff-only',
  '--commit',
  '--no-squash',
  '--no-autostash',
  '--no-verify-signatures',
  '--no-stat',
  '--no-overwrite-ignore',
]

/** The tip that a `reset` leaves behind stays reachable. */
async function keepTip(git: Git, { mode, id, endRefOld }: CodeStaged): Promise<void> {
  if (mode !== 'reset' || endRefOld === null) return
  const kept = await resolveObjects(git, [`${undoRefs}${id}`])
  if (kept.size === 0) await updateRefs(git, [`create ${undoRefs}${id} ${endRefOld}`], `env restore ${id}`)
}

/** Moves the branch only: in a bare repository, or where the files are the same before and after. */
export async function moveBranch(git: Git, staged: CodeStaged): Promise<void> {
  await keepTip(git, staged)
  await updateRefs(
    git,
    branchLines(staged, staged.new, staged.endRef === null ? staged.old : staged.endRefOld),
    reason(staged),
  )
}

export async function moveBranchBack(git: Git, staged: CodeStaged): Promise<void> {
  const { commit, endTip } = await headState(git, staged)
  const tip = staged.endRef === null ? commit : endTip
  const before = staged.endRef === null ? staged.old : staged.endRefOld
  if (tip === before || before === null) return
  if (tip !== staged.new) throw movedOn(staged)
  await updateRefs(git, branchLines(staged, before, staged.new), reason(staged))
}

/** Puts HEAD and branch back, not the files. Each part is left alone that is back already. */
export async function moveHeadBack(git: Git, staged: CodeStaged): Promise<void> {
  const { ref, commit, endTip } = await headState(git, staged)
  const { headRef, endRef, endRefOld, old } = staged
  if (commit !== old && commit !== staged.new) throw movedOn(staged)
  if (endRef !== null && (endTip ?? null) !== endRefOld) {
    if (endTip !== staged.new) throw movedOn(staged)
    // HEAD leaves the branch first, where it is to end elsewhere: it must not be on a branch that goes away.
    if (ref === endRef && headRef !== endRef)
      await updateRefs(git, [noDeref, `update HEAD ${old} ${staged.new}`], reason(staged))
    const line = endRefOld === null ? `delete ${endRef} ${staged.new}` : `update ${endRef} ${endRefOld} ${staged.new}`
    await updateRefs(git, [line], reason(staged))
  }
  const now = await headState(git, staged)
  if (headRef !== null && now.ref !== headRef) {
    const tips = await resolveObjects(git, [`${headRef}^{commit}`])
    if (tips.get(`${headRef}^{commit}`) !== old) throw movedOn(staged)
    await git.run([...durable, 'symbolic-ref', '-m', reason(staged), 'HEAD', headRef], { uninterrupted: true })
  } else if (now.commit !== old) {
    await updateRefs(git, [noDeref, `update HEAD ${old} ${now.commit}`], reason(staged))
  }
}

const noDeref = 'option no-deref'

function branchLines({ endRef }: CodeStaged, to: string, from: string | null): string[] {
  if (endRef === null) return [noDeref, `update HEAD ${to} ${from}`]
  return [from === null ? `create ${endRef} ${to}` : `update ${endRef} ${to} ${from}`]
}

function reason(staged: CodeStaged): string {
  return `env restore ${staged.id}`
}
