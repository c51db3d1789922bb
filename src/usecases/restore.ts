import path from 'node:path'
import { cancelled, EnvError } from '../domain/errors.ts'
import type { Journal, Operation, Participant } from '../domain/journal.ts'
import type { Manifest } from '../domain/manifest.ts'
import { summaryLines } from '../domain/record-summary.ts'
import { shortId } from '../domain/snapshot-id.ts'
import { restoreMessage } from '../domain/snapshot-message.ts'
import type { SnapshotCommit } from '../git/git-repository.ts'
import { shareActivity } from '../system/activity-lock.ts'
import { errorOf } from './error-data.ts'
import type { RestorePlan } from './plan-restore.ts'
import { recoverFirst } from './recover.ts'
import { takeSnapshot } from './snapshot.ts'
import { finishJournal } from './swap-journal.ts'
import { type ConfiguredWorkspace, ownedPaths, uninterrupted } from './workspace.ts'

export type RestoreResult = {
  readonly id: string
  readonly snapshot: SnapshotCommit
  /** The snapshot that undo brings back. */
  readonly before: string
  readonly heldMicros: number
  readonly parts: readonly string[]
  /** What of the snapshot was left out, by service, for people. */
  readonly leaves: Readonly<Record<string, string>>
}

/** Safety snapshot, staging, then the swap by a guard of its own, which finishes it even when this process dies. */
export async function executeRestore(plan: RestorePlan): Promise<RestoreResult> {
  const { workspace, manifest, operation } = plan
  const { ports, environment } = workspace
  const id = ports.newId()
  const services = plan.parts.map((part) => part.service)
  const safety = await takeSafety(plan)
  ports.trace('restore: safety snapshot taken')
  const journal: Journal = {
    version: 1,
    id,
    operation,
    state: 'staging',
    startedAt: ports.now().toISOString(),
    ref: environment.ref ?? null,
    worktree: workspace.directory,
    worktreeKey: workspace.worktreeKey,
    config: workspace.configText,
    snapshot: manifest.id,
    safety: safety.id,
    partial: plan.parts.some((part) => part.only !== undefined),
    codeMode: plan.codeMode,
    services: services.map((service) => service.name),
    participants: [],
    owners: plan.owners,
  }
  await stageAll(plan, journal, safety)
  await plan.close()
  const before = await superviseGuard(workspace, id, operation)
  const leaves = Object.fromEntries(
    plan.parts.flatMap(({ service, leaves }) => (leaves ? [[service.name, leaves]] : [])),
  )
  return { id, snapshot: plan.snapshot, ...before, parts: services.map((service) => service.name), leaves }
}

/**
 * The snapshot of what is there, which undo needs: so every byte of it is read, also of the chunks that older snapshots left in the store.
 * What is found damaged there, the next snapshot writes again: taking it a second time heals it.
 */
async function takeSafety(plan: RestorePlan): Promise<Manifest> {
  const { workspace, store, operation } = plan
  const services = plan.parts.map((part) => part.service)
  for (let attempt = 1; ; attempt++) {
    const safety = await takeSnapshot(workspace, store, services, {
      message: `before ${operation} of ${plan.title}`,
      trigger: 'safety',
      damage: 'keep',
      live: false,
      withChanges: workspace.git.topLevel !== undefined,
      side: true,
      dryRun: false,
      ...(coversAll(plan) ? {} : { only: services.map((service) => service.name) }),
    })
    const [damage] = await store.check(safety.manifest, { data: true, signal: workspace.ports.signal })
    if (!damage) return safety.manifest
    if (attempt < 2) continue
    throw new EnvError('damaged', `the safety snapshot could not be read back: ${damage.object} ${damage.reason}`, {
      hint: 'nothing was changed; git env verify --data shows what is damaged',
    })
  }
}

function coversAll(plan: RestorePlan): boolean {
  return plan.workspace.config.services.length === plan.parts.length
}

/** Everything is put beside the live data; until all of it is there, nothing live changes. */
async function stageAll(plan: RestorePlan, start: Journal, safety: Manifest): Promise<void> {
  const { workspace, store } = plan
  const { ports, state } = workspace
  let journal = start
  await state.writeJournal(journal)
  ports.progress.phase(
    'staging',
    plan.parts.reduce((sum, part) => sum + part.record.bytes, 0),
  )
  try {
    for (const part of plan.parts) {
      const live = safety.services.find((record) => record.name === part.service.name)!
      const staged = await part.service.stage(part.record, live, {
        source: store,
        ...(part.only === undefined ? {} : { only: part.only }),
        id: journal.id,
        progress: (bytes: number) => ports.progress.advance(bytes),
      })
      const { name, driver } = part.service
      const order = staged.way ?? part.probe.swap
      for (const text of staged.warnings ?? []) ports.progress.warn(`${name}: ${text}`)
      journal = withParticipant(journal, { name, kind: driver.kind, order, staged })
      await state.writeJournal(journal)
      ports.trace(`restore: ${name} staged`)
    }
    if (plan.codeMode !== 'untouched') {
      journal = withParticipant(journal, await stageCode(plan, journal, safety))
      ports.trace('restore: code staged')
    }
    if (ports.signal.aborted) throw cancelled()
    await state.writeJournal({ ...journal, state: 'staged' })
    ports.trace('journal: staged')
  } catch (error) {
    await plan.close()
    await finishJournal(await uninterrupted(workspace), journal, 'back')
    throw ports.signal.aborted ? cancelled() : error
  } finally {
    ports.progress.end()
  }
}

function bodyLines(plan: RestorePlan, safety: Manifest): string[] {
  const { snapshot, parts } = plan
  const lines = [
    `Brings back snapshot ${shortId(snapshot.id)} of ${snapshot.createdAt.toISOString().slice(0, 16)}Z:`,
    '',
  ]
  lines.push(...summaryLines(parts.map((part) => part.record)))
  if (parts.length === 0) lines.push('  the code alone')
  return [...lines, '', `What was there before is kept as snapshot ${shortId(safety.id)}.`]
}

function withParticipant(journal: Journal, participant: Participant): Journal {
  return { ...journal, participants: [...journal.participants, participant] }
}

async function stageCode(plan: RestorePlan, journal: Journal, safety: Manifest): Promise<Participant> {
  const { workspace, manifest, codeTarget, codeMode, operation } = plan
  const staged = await workspace.git.code.stage({
    target: codeTarget,
    message: restoreMessage({
      kind: operation,
      restoreId: journal.id,
      snapshotId: manifest.id,
      snapshotCommit: plan.snapshot.commit,
      snapshotMessage: plan.title,
      safety: safety.id,
      body: bodyLines(plan, safety),
    }),
    mode: codeMode === 'untouched' ? 'none' : codeMode,
    id: journal.id,
    ...(plan.undo.ref === undefined ? {} : { ref: plan.undo.ref }),
    ...(plan.undo.undone === undefined ? {} : { undone: plan.undo.undone }),
    exclude: ownedPaths(
      workspace,
      plan.parts.map((part) => part.service),
    ),
    asideDirectory: path.join(workspace.state.journalDirectory(journal.id), 'code'),
  })
  return { name: 'code', kind: 'code', order: 'code', staged }
}

/** Waits for the guard. When it dies without a word, this process does what the guard would have done. */
async function superviseGuard(
  workspace: ConfiguredWorkspace,
  id: string,
  operation: Operation,
): Promise<{ before: string; heldMicros: number }> {
  const { ports, state } = workspace
  ports.progress.phase('swapping')
  const guard = ports.startGuard({ journal: id, directory: workspace.directory })
  await shareActivity(state.activityFile(workspace.worktreeKey), guard.pid)
  guard.go()
  const cancel = () => guard.cancel()
  ports.signal.addEventListener('abort', cancel)
  if (ports.signal.aborted) cancel()
  try {
    const message = await guard.ended
    if (message?.done) {
      for (const text of message.warnings) ports.progress.warn(text)
      return { before: message.before, heldMicros: message.heldMicros }
    }
    if (message) throw errorOf(message.error)
    const [finished] = await recoverFirst(workspace)
    if (finished?.before !== undefined) return { before: finished.before, heldMicros: finished.journal.heldMicros ?? 0 }
    const { last, entries, position } = await state.undoLog(workspace.worktreeKey)
    const entry = last === id ? entries[operation === 'undo' ? position : position - 1] : undefined
    const before = operation === 'undo' ? entry?.after : entry?.before
    if (before !== undefined) return { before, heldMicros: 0 }
    throw new EnvError('unavailable', 'the process that swaps the data was killed; everything is as it was', {
      hint: 'try again',
    })
  } finally {
    ports.signal.removeEventListener('abort', cancel)
    ports.progress.end()
  }
}
