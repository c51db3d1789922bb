import { cancelled, EnvError } from '../domain/errors.ts'
import { formatBytes, formatMicros, plural } from '../domain/format-text.ts'
import type { CodeRecord, Manifest, Trigger } from '../domain/manifest.ts'
import { summaryLines } from '../domain/record-summary.ts'
import { idAfter, isSnapshotName, shortId } from '../domain/snapshot-id.ts'
import { snapshotMessage } from '../domain/snapshot-message.ts'
import type { CodeStatus, Head } from '../git/git-repository.ts'
import type { Service } from '../services/service-driver.ts'
import type { SnapshotWriter, Store } from '../store/store.ts'
import { capture } from './capture.ts'
import { freezeOf } from './hooks.ts'
import { adopt, refuseHalfRestored, refuseOthersData } from './loaded-data.ts'
import { openReserved } from './reservations.ts'
import { type ConfiguredWorkspace, openStore, ownedPaths } from './workspace.ts'

export type SnapshotRequest = {
  readonly message: string
  readonly name?: string
  /** Only these services and mounts: a partial snapshot. */
  readonly only?: readonly string[]
  /** No common point: nobody waits, and the data is of several moments. */
  readonly live: boolean
  /** Keep uncommitted and untracked code beside. */
  readonly withChanges: boolean
  /** Reference the snapshot only, and leave the branch where it is. */
  readonly side: boolean
  readonly dryRun: boolean
  /** The data is this environment's from now on, whoever's it was. */
  readonly adopt?: boolean
}

export type SnapshotResult = {
  /** undefined in a dry run. */
  readonly commit: string | undefined
  readonly manifest: Manifest
  readonly placement: 'branch' | 'side'
  readonly added: SnapshotWriter['added']
  /** Code that is not in the snapshot, or kept beside it. */
  readonly uncommitted: CodeStatus
}

/** `git env snapshot`: the whole environment, at one point in time, recorded as a commit. */
export async function snapshot(workspace: ConfiguredWorkspace, request: SnapshotRequest): Promise<SnapshotResult> {
  if (workspace.config.services.length === 0) {
    throw new EnvError('refused', 'the configuration names no service and no mount', {
      hint: 'add them to .git-env.yaml; git env init proposes what it finds',
    })
  }
  if (request.name !== undefined && !isSnapshotName(request.name)) {
    throw new EnvError('usage', `a snapshot cannot be named ${JSON.stringify(request.name)}`, {
      hint: 'letters, digits, . _ + -, at most 64, and nothing that could be an id or "latest"',
    })
  }
  if (request.name !== undefined) await refuseTaken(workspace, request.name)
  const store = await openStore(workspace)
  const { services, close } = await openReserved(workspace, request.only, { command: 'snapshot' })
  try {
    await refuseMissing(services)
    if (!request.adopt) {
      await refuseHalfRestored(workspace, services)
      await refuseOthersData(workspace, services)
    }
    const trigger: Trigger = 'manual'
    const result = await takeSnapshot(workspace, store, services, { ...request, trigger, damage: 'refuse' })
    if (!request.dryRun) await adopt(workspace, services)
    return result
  } finally {
    await close()
  }
}

async function refuseTaken({ git, environment }: ConfiguredWorkspace, name: string): Promise<void> {
  const taken = (await git.snapshots()).find((each) => each.name === name && each.environment === environment.name)
  if (!taken) return
  throw new EnvError('refused', `snapshot ${shortId(taken.id)} of ${environment.name} has the name ${name} already`, {
    hint: 'choose another name',
  })
}

/** A snapshot that a person takes holds all that is configured: what is not there is a mistake, not a state to keep. */
async function refuseMissing(services: readonly Service[]): Promise<void> {
  for (const service of services) {
    const probe = await service.probe()
    if (probe.presence !== 'absent') continue
    throw new EnvError('refused', `${service.name} is not there: ${service.place}`, {
      hint: `git env restore brings it back from the latest snapshot; where it is no longer wanted, take it out of the configuration`,
    })
  }
}

export type Take = SnapshotRequest & {
  readonly trigger: Trigger
  readonly damage: 'keep' | 'refuse'
  readonly id?: string
}

/** Captures, stores and records; what `snapshot` and the safety snapshots of a restore have in common. */
export async function takeSnapshot(
  workspace: ConfiguredWorkspace,
  store: Store,
  services: readonly Service[],
  take: Take,
): Promise<SnapshotResult> {
  const { ports, git, environment } = workspace
  const head = await git.head()
  if (head.ref !== undefined && environment.ref !== undefined && head.ref !== environment.ref) {
    throw new EnvError('refused', `the branch was switched from ${environment.name} meanwhile`, {
      hint: 'run the command again',
    })
  }
  const placement = take.side || head.ref === undefined || git.topLevel === undefined ? 'side' : 'branch'
  const commit = await refuseUnready(workspace, head, placement)
  const exclude = ownedPaths(workspace, services)
  const [uncommitted, [newest]] = await Promise.all([
    git.topLevel ? git.code.status({ exclude }) : { changed: [], untracked: [] },
    git.snapshots({ limit: 1 }),
  ])
  const changes = take.withChanges ? await git.code.keepChanges({ exclude }) : undefined
  const code: CodeRecord = { commit, tree: head.tree!, ...(changes ? { changes } : {}) }

  const freeze = take.dryRun || take.live ? undefined : freezeOf(workspace)
  const writer = store.writer({ dryRun: take.dryRun })
  try {
    const { damage, live, dryRun } = take
    const captured = await capture(ports, services, writer, { damage, live, freeze, stop: !dryRun })
    const createdAt = ports.now()
    const manifest: Manifest = {
      version: 1,
      id: take.id ?? idAfter(newest?.id, ports.newId()),
      environment: environment.name,
      ...(take.name === undefined ? {} : { name: take.name }),
      message: take.message,
      trigger: take.trigger,
      createdAt: createdAt.toISOString(),
      expiresAt: expiryOf(createdAt, workspace.config.retentionDays),
      partial: take.only !== undefined,
      code,
      services: captured.services,
      consistency: captured.consistency,
      tool: { name: 'git-env', version: ports.version },
    }
    if (ports.signal.aborted) throw cancelled()
    const result = { manifest, placement, uncommitted, commit: undefined } as const
    if (take.dryRun) return { ...result, added: writer.added }
    return { ...result, commit: await recordManifest(workspace, writer, manifest, placement), added: writer.added }
  } catch (error) {
    await writer.abort()
    throw ports.signal.aborted ? cancelled() : error
  } finally {
    ports.progress.end()
  }
}

/** Data first, then the manifest, then the Git record: cut short in between, there is garbage in the store and no snapshot. */
export async function recordManifest(
  workspace: ConfiguredWorkspace,
  writer: SnapshotWriter,
  manifest: Manifest,
  placement: 'branch' | 'side',
): Promise<string> {
  const { ports, git, environment } = workspace
  ports.progress.phase('writing')
  const digest = await writer.finish(manifest)
  ports.trace('snapshot: stored')
  const commit = await git.record({
    id: manifest.id,
    ref: environment.ref,
    placement,
    parent: manifest.code.commit,
    message: snapshotMessage(manifest, digest, bodyLines(manifest, writer.added.storedBytes)),
    ...(manifest.code.changes ? { changes: manifest.code.changes.commit } : {}),
  })
  ports.trace('snapshot: recorded')
  return commit
}

function bodyLines(manifest: Manifest, storedBytes: number): string[] {
  const total = manifest.services.reduce((sum, service) => sum + service.bytes, 0)
  const { consistency } = manifest
  const held = consistency.heldMicros > 0 ? `, writers held ${formatMicros(consistency.heldMicros)}` : ''
  const lines = [
    `Environment ${manifest.environment}: ${countParts(manifest)}, ${formatBytes(total)}`,
    '',
    ...summaryLines(manifest.services),
    '',
    `${formatBytes(storedBytes)} new in the store${held}, level ${consistency.level}.`,
  ]
  const { changes } = manifest.code
  if (changes) lines.push(`${plural(changes.files, 'file')} of uncommitted code kept beside it.`)
  return lines
}

/** `1 service, 2 mounts`. */
function countParts(manifest: Manifest): string {
  const count = (kind: 'service' | 'mount') => manifest.services.filter((service) => service.kind === kind).length
  const parts = [
    count('service') && plural(count('service'), 'service'),
    count('mount') && plural(count('mount'), 'mount'),
  ]
  return parts.filter(Boolean).join(', ') || 'the code alone'
}

/** Retention counts whole days from the moment of the snapshot. */
function expiryOf(createdAt: Date, days: number): string {
  return new Date(createdAt.getTime() + days * 86_400_000).toISOString()
}

/** What forbids a snapshot is found before anything is read. Gives HEAD's commit. */
async function refuseUnready(
  workspace: ConfiguredWorkspace,
  head: Head,
  placement: 'branch' | 'side',
): Promise<string> {
  if (head.commit === undefined) {
    throw new EnvError('refused', 'this branch has no commit yet, so a snapshot has nothing to belong to', {
      hint: 'make a first commit, then take the snapshot',
    })
  }
  const operation = placement === 'branch' ? await workspace.git.operationInProgress(head.ref) : undefined
  if (operation === 'a rebase' || operation === 'a bisect') {
    throw new EnvError('refused', `${operation} of ${workspace.environment.name} is in progress`, {
      hint: 'finish it or abort it first; git env snapshot --side leaves the branch where it is',
    })
  }
  return head.commit
}
