import type { Probe } from '../services/service-driver.ts'
import type { StoreUsage } from '../store/store.ts'
import { listSnapshots, type SnapshotLine } from './log.ts'
import { openJournals } from './recover.ts'
import { type ConfiguredWorkspace, closeAll, openServices, openStore, storeLocation } from './workspace.ts'

type ServiceStatus = {
  readonly name: string
  readonly type: string
  readonly path: string
  readonly probe: Probe
}

export type Status = {
  readonly environment: string
  readonly worktree: string
  readonly services: readonly ServiceStatus[]
  readonly latest: SnapshotLine | undefined
  readonly snapshots: number
  readonly store: { readonly location: string; readonly usage: StoreUsage }
  readonly undo: number
  readonly redo: number
  /** Restores that were cut short. */
  readonly unfinished: readonly string[]
}

export async function status(workspace: ConfiguredWorkspace): Promise<Status> {
  const store = await openStore(workspace)
  const snapshots = await listSnapshots(workspace, { all: false })
  const log = await workspace.state.undoLog(workspace.worktreeKey)
  return {
    environment: workspace.environment.name,
    worktree: workspace.directory,
    services: await probeAll(workspace),
    latest: snapshots.find((snapshot) => !snapshot.partial),
    snapshots: snapshots.length,
    store: { location: storeLocation(workspace), usage: await store.usage() },
    undo: log.position,
    redo: log.entries.length - log.position,
    unfinished: (await openJournals(workspace)).map((journal) => journal.id),
  }
}

async function probeAll(workspace: ConfiguredWorkspace): Promise<ServiceStatus[]> {
  const services = await openServices(workspace)
  try {
    const statuses: ServiceStatus[] = []
    for (const service of services) {
      const path = service.place
      statuses.push({ name: service.name, type: service.driver.type, path, probe: await service.probe() })
    }
    return statuses
  } finally {
    await closeAll(services)
  }
}
