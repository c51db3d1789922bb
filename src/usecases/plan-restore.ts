import { parseConfig } from '../domain/config.ts'
import { configFileName } from '../domain/config-file.ts'
import { EnvError } from '../domain/errors.ts'
import type { Journal, Operation, Owners } from '../domain/journal.ts'
import type { Manifest, ServiceRecord } from '../domain/manifest.ts'
import { shortId } from '../domain/snapshot-id.ts'
import { decodeTree, displayPath } from '../domain/tree.ts'
import type { CodeTarget, DiffStat, SnapshotCommit } from '../git/git-repository.ts'
import type { Probe, Service } from '../services/service-driver.ts'
import type { Store } from '../store/store.ts'
import { type CopyOptions, copyOf } from './copies.ts'
import { refuseUnallowed, refuseUnallowedRebuilds } from './hooks.ts'
import { markerOf, refuseHalfRestored } from './loaded-data.ts'
import { openReserved } from './reservations.ts'
import { resolveSnapshot } from './resolve-snapshot.ts'
import { type Selection, selectParts } from './selection.ts'
import { type ConfiguredWorkspace, countUncommitted, openStore, ownedPaths } from './workspace.ts'

export type RestoreRequest = {
  /** What people call a snapshot; see resolve-snapshot.ts. */
  readonly snapshot: string
  /** `app`, `app:table`, `media:path`; implies that the code stays. */
  readonly only?: readonly string[]
  /** Restore the snapshot of another environment into this one, which is named so that nobody does it by mistake. */
  readonly to?: string
  /** From another environment, also what must happen only once: messages that wait in queues. */
  readonly withMessages?: boolean
  readonly what: 'all' | 'data' | 'code'
  readonly code: 'append' | 'detach' | 'reset'
}

/** What an undo knows beyond what a restore does. */
export type UndoOptions = {
  readonly title?: string
  readonly mode?: Journal['codeMode']
  /** The branch to end on, where that is not HEAD's. */
  readonly ref?: string
  /** The kept changes that the restore which is undone laid over the code. */
  readonly undone?: string
  /** Whose data it was before the restore that is undone or redone, and after it. */
  readonly owners?: Owners
}

/** One service or mount to be restored: what goes in, and what a person should know first. */
type Part = {
  readonly service: Service
  readonly record: ServiceRecord
  readonly only: readonly string[] | undefined
  readonly probe: Probe
  /** What of the snapshot another environment does not get, for people. */
  readonly leaves: string | undefined
}

export type RestorePlan = {
  readonly workspace: ConfiguredWorkspace
  readonly store: Store
  readonly operation: Operation
  /** What it is called in subjects: the snapshot's message, or `restore of …` where that is undone or redone. */
  readonly title: string
  readonly snapshot: SnapshotCommit
  readonly manifest: Manifest
  readonly parts: readonly Part[]
  readonly codeMode: Journal['codeMode']
  readonly codeTarget: CodeTarget
  readonly undo: UndoOptions
  readonly codePreview: (DiffStat & { readonly setAside: number }) | undefined
  /** Files of the work tree that are not as HEAD has them, or not in it. */
  readonly uncommitted: number
  readonly owners: Owners
  /** Services whose place in the snapshot's own configuration is another: the data goes where the present one says. */
  readonly moved: readonly string[]
  /** Configured, but not in the snapshot: left as they are. */
  readonly leftAlone: readonly string[]
  close(): Promise<void>
}

/** Finds all that a restore needs, and changes nothing. */
export async function planRestore(
  workspace: ConfiguredWorkspace,
  request: RestoreRequest,
  operation: Operation = 'restore',
  undo: UndoOptions = {},
): Promise<RestorePlan> {
  for (const name of ['freeze', 'thaw', 'after-restore'] as const) refuseUnallowed(workspace, name)
  if (request.what !== 'code') refuseUnallowedRebuilds(workspace)
  const store = await openStore(workspace)
  const snapshot = await resolveSnapshot(workspace.git, workspace.environment, request.snapshot)
  refuseOtherEnvironment(workspace, snapshot, request.to)
  const manifest = await readManifest(store, snapshot)
  const selection = selectParts(workspace.config, manifest, request)
  const { services, close } = await openReserved(workspace, selection.names, { command: operation })
  try {
    await refuseHalfRestored(workspace, services)
    await requireStored(workspace, store, snapshot, selection.needed)
    await refuseUnknownParts(store, selection)
    const parts: Part[] = []
    const isCopy = operation === 'restore' && snapshot.environment !== workspace.environment.name
    const copying = { isCopy, withMessages: request.withMessages ?? false }
    for (const service of services) parts.push(await partOf(service, selection, copying))
    const codeMode = undo.mode ?? codeModeOf(workspace, request)
    const codeTarget = { commit: manifest.code.commit, changes: manifest.code.changes?.commit }
    const exclude = ownedPaths(workspace, services)
    return {
      workspace,
      store,
      operation,
      title: undo.title ?? titleOf(snapshot),
      snapshot,
      manifest,
      parts,
      codeMode,
      codeTarget,
      undo,
      codePreview:
        codeMode === 'untouched' || codeMode === 'none'
          ? undefined
          : await workspace.git.code.preview(codeTarget, { exclude }),
      owners: await ownersOf(workspace, parts, operation, undo.owners),
      uncommitted: codeMode === 'untouched' ? 0 : await countUncommitted(workspace, services),
      moved: codeMode === 'untouched' || codeMode === 'none' ? [] : await movedServices(workspace, manifest),
      leftAlone: selection.leftAlone,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** A part of a service leaves whose data it is as it was; so does a detached HEAD, which is no environment of its own. */
async function ownersOf(
  workspace: ConfiguredWorkspace,
  parts: readonly Part[],
  operation: Operation,
  earlier: Owners = {},
): Promise<Owners> {
  const owners: Record<string, Owners[string]> = {}
  for (const { service, only } of parts) {
    const before = (await markerOf(workspace, service))?.ref ?? null
    const { ref } = workspace.environment
    const known = earlier[service.name]
    const after = operation === 'undo' ? known?.before : operation === 'redo' ? known?.after : only ? before : ref
    owners[service.name] = { before, after: after ?? before }
  }
  return owners
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

/** What is lost is found before anything begins; every byte is compared with its digest when it is staged, which changes nothing either. */
async function requireStored(
  { ports }: ConfiguredWorkspace,
  store: Store,
  snapshot: SnapshotCommit,
  needed: Manifest,
): Promise<void> {
  const damages = await store.check(needed, { data: false, signal: ports.signal })
  if (damages.length === 0) return
  const first = damages[0]!
  const more = damages.length > 1 ? `, and ${damages.length - 1} more` : ''
  const message = `snapshot ${shortId(snapshot.id)} cannot be restored: ${first.object} ${first.reason}${more}`
  throw new EnvError('damaged', message, {
    hint: 'nothing was changed; git env verify --data lists which snapshots are hit',
    details: { damages },
  })
}

/** A table or path that the snapshot does not hold is found before anything is taken or staged. */
async function refuseUnknownParts(store: Store, { needed, only }: Selection): Promise<void> {
  for (const record of needed.services) {
    const missing = new Set(only.get(record.name))
    // Keys are too many to be listed: the driver finds out, before it stages anything.
    if (record.objects.some(({ kind }) => kind === 'index')) continue
    for (const { name, kind } of record.objects) if (kind !== 'schema') missing.delete(name)
    for (const stream of record.streams.filter((each) => each.kind === 'tree' && missing.size > 0)) {
      for await (const entry of decodeTree(store.read(stream.content))) missing.delete(displayPath(entry.path))
    }
    for (const name of missing) {
      throw new EnvError('not-found', `the snapshot holds no ${JSON.stringify(name)} in ${record.name}`, {
        hint: 'git env show lists tables; git env diff lists tables and files that differ',
      })
    }
  }
}

async function partOf(service: Service, selection: Selection, copying: Omit<CopyOptions, 'only'>): Promise<Part> {
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
  const only = selection.only.get(service.name)
  const copied = copyOf(service.driver, record, { ...copying, only })
  return { service, record: copied.record, only, probe: await service.probe(), leaves: copied.leaves }
}

async function movedServices({ git, config }: ConfiguredWorkspace, manifest: Manifest): Promise<string[]> {
  const bytes = await git.readFile(manifest.code.commit, configFileName)
  if (!bytes) return []
  const then = await parseConfig(Buffer.from(bytes).toString('utf8'), undefined).catch(() => undefined)
  return config.services.flatMap(({ name, settings }) => {
    const before = then?.services.find((service) => service.name === name)?.settings['path']
    return before !== undefined && before !== settings['path'] ? [`${name} (${String(before)})`] : []
  })
}

function codeModeOf(workspace: ConfiguredWorkspace, request: RestoreRequest): Journal['codeMode'] {
  if (request.only !== undefined || workspace.git.topLevel === undefined) return 'untouched'
  return request.what === 'data' ? 'none' : request.code
}

/** What people call a snapshot in a sentence: its message, else its short id. */
export function titleOf(snapshot: Pick<SnapshotCommit, 'id' | 'message'>): string {
  return snapshot.message || shortId(snapshot.id)
}
