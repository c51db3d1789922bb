import type { LogEntry, SnapshotCommit } from '../git/git-repository.ts'
import { type ConfiguredWorkspace, openStore, type Workspace } from './workspace.ts'

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
  const [stateOf, entries] = await Promise.all([
    dataStates(workspace),
    workspace.git.log({
      from: options.from ?? 'HEAD',
      limit: options.limit,
      environment: workspace.environment.name,
    }),
  ])
  return entries.map((entry) => withState(entry, stateOf))
}

/** The same as a drawing. */
export async function graph(
  workspace: ConfiguredWorkspace,
  options: { readonly from?: string; readonly limit: number },
): Promise<readonly { readonly prefix: string; readonly entry: LogLine | undefined }[]> {
  const { from = 'HEAD', limit } = options
  const [stateOf, lines] = await Promise.all([
    dataStates(workspace),
    workspace.git.graph({ from, limit, environment: workspace.environment.name }),
  ])
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
  const [stateOf, snapshots] = await Promise.all([dataStates(workspace), workspace.git.snapshots()])
  return snapshots
    .filter((each) => options.all || (each.environment === workspace.environment.name && each.trigger !== 'safety'))
    .slice(0, options.limit)
    .map((snapshot) => ({ ...snapshot, state: stateOf(snapshot) }))
}

/** A clone without a store can still show its history: then no data is here. */
async function dataStates(workspace: ConfiguredWorkspace): Promise<(snapshot: SnapshotCommit) => DataState> {
  const now = workspace.ports.now()
  const present = (await hasStore(workspace)) ? await (await openStore(workspace)).manifests() : new Set<string>()
  return (snapshot) => {
    if (present.has(snapshot.manifest)) return 'here'
    return snapshot.expiresAt !== undefined && snapshot.expiresAt < now ? 'expired' : 'missing'
  }
}

async function hasStore(workspace: Workspace): Promise<boolean> {
  return (await workspace.state.storeId()) !== undefined
}
