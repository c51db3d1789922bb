import path from 'node:path'
import { EnvError } from '../domain/errors.ts'
import type { Journal, Operation, Participant } from '../domain/journal.ts'
import type { Manifest, ServiceRecord } from '../domain/manifest.ts'
import { summaryLines } from '../domain/record-summary.ts'
import { shortId } from '../domain/snapshot-id.ts'
import { restoreMessage } from '../domain/snapshot-message.ts'
import type { CodeTarget, DiffStat, SnapshotCommit } from '../git/git-repository.ts'
import type { Probe, Service } from '../services/service-driver.ts'
import type { Store } from '../store/store.ts'
import { shareActivity } from '../system/activity-lock.ts'
import { cancelled } from './capture.ts'
import { errorOf } from './error-data.ts'
import { recoverFirst } from './recover.ts'
import { resolveSnapshot } from './resolve-snapshot.ts'
import { type Selection, selectParts } from './selection.ts'
import { takeSnapshot } from './snapshot.ts'
import { finishJournal } from './swap-journal.ts'
import { type ConfiguredWorkspace, closeAll, openServices, openStore, ownedPaths } from './workspace.ts'

export type RestoreRequest = {
  /** What people call a snapshot; see resolve-snapshot.ts. */
  readonly snapshot: string
  /** `app`, `app:table`, `media:path`; implies that the code stays. */
  readonly only?: readonly string[]
  /** Restore the snapshot of another environment into this one, which is named so that nobody does it by mistake. */
  readonly to?: string
  readonly what: 'all' | 'data' | 'code'
  readonly code: 'append' | 'detach' | 'reset'
}

/** What an undo knows of the code beyond what a restore does. */
export type CodeOptions = {
  readonly mode?: Journal['codeMode']
  /** The branch to end on, where that is not HEAD's. */
  readonly ref?: string
  /** The kept changes that the restore which is undone laid over the code. */
  readonly undone?: string
}

/** One service or mount to be restored: what goes in, and what a person should know first. */
type Part = {
  readonly service: Service
  readonly record: ServiceRecord
  readonly only: readonly string[] | undefined
  readonly probe: Probe
}

export type RestorePlan = {
  readonly workspace: ConfiguredWorkspace
  readonly store: Store
  readonly operation: Operation
  readonly snapshot: SnapshotCommit
  readonly manifest: Manifest
  readonly parts: readonly Part[]
  readonly codeMode: Journal['codeMode']
  readonly codeTarget: CodeTarget
  readonly code: CodeOptions
  readonly codePreview: (DiffStat & { readonly setAside: number }) | undefined
  /** Configured, but not in the snapshot: left as they are. */
  readonly leftAlone: readonly string[]
  close(): Promise<void>
}

/** Finds and checks all that a restore needs, every stored byte of it, and changes nothing. */
export async function planRestore(
  workspace: ConfiguredWorkspace,
  request: RestoreRequest,
  operation: Operation = 'restore',
  code: CodeOptions = {},
): Promise<RestorePlan> {
  const store = await openStore(workspace)
  const snapshot = await resolveSnapshot(workspace.git, workspace.environment, request.snapshot)
  refuseOtherEnvironment(workspace, snapshot, request.to)
  const manifest = await readManifest(store, snapshot)
  const selection = selectParts(workspace.config, manifest, request)
  const services = await openServices(workspace, selection.names)
  try {
    await checkStored(workspace, store, snapshot, selection)
    const parts: Part[] = []
    for (const service of services) parts.push(await partOf(service, selection))
    const codeMode = code.mode ?? codeModeOf(workspace, request)
    const codeTarget = { commit: manifest.code.commit, changes: manifest.code.changes?.commit }
    const exclude = ownedPaths(workspace, services)
    return {
      workspace,
      store,
      operation,
      snapshot,
      manifest,
      parts,
      codeMode,
      codeTarget,
      code,
      codePreview:
        codeMode === 'untouched' || codeMode === 'none'
          ? undefined
          : await workspace.git.code.preview(codeTarget, { exclude }),
      leftAlone: selection.leftAlone,
      close: () => closeAll(services),
    }
  } catch (error) {
    await closeAll(services)
    throw error
  }
}

function refuseOtherEnvironment(
  workspace: ConfiguredWorkspace,
  snapshot: SnapshotCommit,
  to: string | undefined,
): void {
  const here = workspace.environment.name
  if (to !== undefined && to !== here) {
    throw new EnvError('refused', `${JSON.stringify(to)} is not the environment of this work tree, which is ${here}`, {
      hint: `run the command in the work tree where ${to} is checked out`,
    })
  }
  if (to === undefined && snapshot.environment !== here) {
    throw new EnvError(
      'refused',
      `${shortId(snapshot.id)} is a snapshot of ${snapshot.environment}, and ${here} is checked out here`,
      {
        hint: `git switch ${snapshot.environment} first; or give --to ${here} to put it into ${here} all the same`,
      },
    )
  }
}

async function readManifest(store: Store, snapshot: SnapshotCommit): Promise<Manifest> {
  try {
    return await store.manifest(snapshot.manifest)
  } catch (error) {
    if (!(error instanceof EnvError) || error.code !== 'not-found') throw error
    throw new EnvError(
      'not-found',
      `the data of snapshot ${shortId(snapshot.id)} is not in the store ${store.location}`,
      {
        cause: error,
        hint: 'it may have expired, or been taken in another clone; git env log --snapshots shows which can be restored',
      },
    )
  }
}

/** Damage is found before the first byte reaches a service. */
async function checkStored(
  workspace: ConfiguredWorkspace,
  store: Store,
  snapshot: SnapshotCommit,
  selection: Selection,
): Promise<void> {
  const { progress, signal } = workspace.ports
  const bytes = selection.needed.services.reduce((sum, service) => sum + service.bytes, 0)
  progress.phase('checking the snapshot', bytes)
  let last = 0
  const damages = await store.check(selection.needed, {
    data: true,
    signal,
    progress: (done) => {
      progress.advance(done - last)
      last = done
    },
  })
  progress.end()
  if (damages.length === 0) return
  const first = damages[0]!
  const more = damages.length > 1 ? `, and ${damages.length - 1} more` : ''
  throw new EnvError(
    'damaged',
    `snapshot ${shortId(snapshot.id)} cannot be restored: ${first.object} ${first.reason}${more}`,
    {
      hint: 'nothing was changed; git env verify --data lists which snapshots are hit',
      details: { damages },
    },
  )
}

async function partOf(service: Service, selection: Selection): Promise<Part> {
  const record = selection.needed.services.find((each) => each.name === service.name)
  if (!record) throw new EnvError('bug', `${service.name} was opened but is not in the snapshot`)
  if (record.type !== service.driver.type) {
    throw new EnvError(
      'refused',
      `${service.name} is ${record.type} in the snapshot, and ${service.driver.type} in the configuration`,
      {
        hint: 'restore the others with --only, or name the service as it was',
      },
    )
  }
  return { service, record, only: selection.only.get(service.name), probe: await service.probe() }
}

function codeModeOf(workspace: ConfiguredWorkspace, request: RestoreRequest): Journal['codeMode'] {
  if (request.only !== undefined || workspace.git.topLevel === undefined) return 'untouched'
  return request.what === 'data' ? 'none' : request.code
}

export type RestoreResult = {
  readonly id: string
  readonly snapshot: SnapshotCommit
  /** The snapshot that undo brings back. */
  readonly before: string
  readonly heldMicros: number
  readonly parts: readonly string[]
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
    config: workspace.configText,
    snapshot: manifest.id,
    safety: safety.id,
    partial: plan.parts.some((part) => part.only !== undefined),
    codeMode: plan.codeMode,
    participants: [],
  }
  await stageAll(plan, journal, safety)
  await plan.close()
  const before = await superviseGuard(workspace, id)
  return { id, snapshot: plan.snapshot, ...before, parts: services.map((service) => service.name) }
}

/**
 * The snapshot of what is there, which undo needs: so every byte of it is read, also of the chunks that older snapshots left in the store.
 * What is found damaged there, the next snapshot writes again: taking it a second time heals it.
 */
async function takeSafety(plan: RestorePlan): Promise<Manifest> {
  const { workspace, store, manifest, operation } = plan
  const services = plan.parts.map((part) => part.service)
  for (let attempt = 1; ; attempt++) {
    const safety = await takeSnapshot(workspace, store, services, {
      message: `before ${operation} of ${manifest.message || shortId(manifest.id)}`,
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
      const order = part.probe.swap === 'rename' ? 'rename' : 'in place'
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
    await finishJournal(workspace, journal, 'back')
    throw ports.signal.aborted ? cancelled() : error
  } finally {
    ports.progress.end()
  }
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
      snapshotMessage: manifest.message,
      safety: safety.id,
      body: summaryLines(plan.parts.map((part) => part.record)),
    }),
    mode: codeMode === 'untouched' ? 'none' : codeMode,
    id: journal.id,
    ...(plan.code.ref === undefined ? {} : { ref: plan.code.ref }),
    ...(plan.code.undone === undefined ? {} : { undone: plan.code.undone }),
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
): Promise<{ before: string; heldMicros: number }> {
  const { ports, state } = workspace
  ports.progress.phase('swapping')
  const guard = ports.startGuard({ journal: id, directory: workspace.directory })
  await shareActivity(state.activityFile(workspace.environment.key), guard.pid)
  const cancel = () => guard.cancel()
  ports.signal.addEventListener('abort', cancel)
  try {
    const message = await guard.ended
    if (message?.done) return { before: message.before, heldMicros: message.heldMicros }
    if (message) throw errorOf(message.error)
    const [finished] = await recoverFirst(workspace)
    if (finished?.before !== undefined) return { before: finished.before, heldMicros: finished.journal.heldMicros ?? 0 }
    const { last, entries, position } = await state.undoLog(workspace.worktreeKey)
    const entry = last === id ? entries[position - 1] : undefined
    if (entry) return { before: entry.before, heldMicros: 0 }
    throw new EnvError('unavailable', 'the process that swaps the data was killed; everything is as it was', {
      hint: 'try again',
    })
  } finally {
    ports.signal.removeEventListener('abort', cancel)
    ports.progress.end()
  }
}
