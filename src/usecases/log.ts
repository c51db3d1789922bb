import { EnvError } from '../domain/errors.ts'
import type { LogEntry, SnapshotCommit } from '../git/git-repository.ts'
import type { ManifestList } from '../store/store.ts'
import { type ConfiguredWorkspace, storeLocation } from './workspace.ts'

/** Whether a snapshot can be restored from this store: the store's answer, not Git's. */
type DataState = 'here' | 'expired' | 'missing'

export type LogLine = Omit<LogEntry, 'snapshot'> & {
  readonly snapshot: (SnapshotCommit & { readonly state: DataState }) | undefined
}

export type SnapshotLine = SnapshotCommit & { readonly state: DataState }

/** Code commits and snapshots of the current environment together, newest first. */
export async function history(
  workspace: ConfiguredWorkspace,
  options: { readonly from?: string; readonly limit: number },
): Promise<readonly LogLine[]> {
  const { from = 'HEAD', limit } = options
  await refuseUnknown(workspace, from)
  const entries = await workspace.git.log({ from, limit, environment: workspace.environment.name })
  const stateOf = await dataStates(
    workspace,
    entries.flatMap((entry) => entry.snapshot ?? []),
  )
  return entries.map((entry) => withState(entry, stateOf))
}

async function refuseUnknown({ git }: ConfiguredWorkspace, revision: string): Promise<void> {
  if (revision === 'HEAD' || (await git.commit(revision))) return
  throw new EnvError('not-found', `no commit is called ${JSON.stringify(revision)}`)
}

/** The same as a drawing. */
export async function graph(
  workspace: ConfiguredWorkspace,
  options: { readonly from?: string; readonly limit: number },
): Promise<readonly { readonly prefix: string; readonly entry: LogLine | undefined }[]> {
  const { from = 'HEAD', limit } = options
  await refuseUnknown(workspace, from)
  const lines = await workspace.git.graph({ from, limit, environment: workspace.environment.name })
  const stateOf = await dataStates(
    workspace,
    lines.flatMap(({ entry }) => entry?.snapshot ?? []),
  )
  return lines.map(({ prefix, entry }) => ({ prefix, entry: entry && withState(entry, stateOf) }))
}

function withState({ snapshot, ...entry }: LogEntry, stateOf: (snapshot: SnapshotCommit) => DataState): LogLine {
  return { ...entry, snapshot: snapshot && { ...snapshot, state: stateOf(snapshot) } }
}

/** Snapshots alone, newest first; without `all` those of the current environment that a person, a push or the schedule took. */
export async function listSnapshots(
  workspace: ConfiguredWorkspace,
  options: { readonly all: boolean; readonly limit?: number },
): Promise<readonly SnapshotLine[]> {
  const [all, present] = await Promise.all([workspace.git.snapshots(), manifestsHere(workspace)])
  const snapshots = all
    .filter((each) => options.all || (each.environment === workspace.environment.name && each.trigger !== 'safety'))
    .slice(0, options.limit)
  // One that was recorded while both were listed is in Git's answer alone.
  const late = snapshots.filter(({ manifest }) => !present.has(manifest)).slice(0, askedSingly)
  const found = await manifestsAmong(workspace, late)
  const stateOf = stateBy(found.size > 0 ? new Set([...present, ...found]) : present, workspace.ports.now())
  return snapshots.map((snapshot) => ({ ...snapshot, state: stateOf(snapshot) }))
}

/** So few are asked for one by one; for more, one listing of the store is faster. */
const askedSingly = 200

type StateOf = (snapshot: SnapshotCommit) => DataState

async function dataStates(workspace: ConfiguredWorkspace, snapshots: readonly SnapshotCommit[]): Promise<StateOf> {
  if (snapshots.length > askedSingly) return stateBy(await manifestsHere(workspace), workspace.ports.now())
  return stateBy(await manifestsAmong(workspace, snapshots), workspace.ports.now())
}

async function manifestsAmong(
  workspace: ConfiguredWorkspace,
  snapshots: readonly SnapshotCommit[],
): Promise<ReadonlySet<string>> {
  if (snapshots.length === 0) return new Set()
  const digests = snapshots.map((snapshot) => snapshot.manifest)
  const store = await storeIfAny(workspace)
  const here = await Promise.all(digests.map((digest) => store?.hasManifest(digest)))
  return new Set(digests.filter((_, i) => here[i]))
}

function stateBy(present: ReadonlySet<string>, now: Date): StateOf {
  return ({ manifest, expiresAt }) => {
    if (present.has(manifest)) return 'here'
    return expiresAt !== undefined && expiresAt < now ? 'expired' : 'missing'
  }
}

/** A clone without a store can still show its history: then no data is here. */
async function manifestsHere(workspace: ConfiguredWorkspace): Promise<ReadonlySet<string>> {
  return (await storeIfAny(workspace))?.manifests() ?? new Set()
}

async function storeIfAny(workspace: ConfiguredWorkspace): Promise<ManifestList | undefined> {
  const id = await workspace.state.storeId()
  return id === undefined ? undefined : workspace.ports.openManifestList(storeLocation(workspace), id)
}
