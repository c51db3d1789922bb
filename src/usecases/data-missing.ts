import { listSnapshots } from './log.ts'
import type { ConfiguredWorkspace } from './workspace.ts'

/** Ids of snapshots that Git has, that are not past their date, and that the store does not have. */
export async function dataMissing(workspace: ConfiguredWorkspace): Promise<readonly string[]> {
  const snapshots = await listSnapshots(workspace, { all: true })
  return snapshots.filter((snapshot) => snapshot.state === 'missing').map((snapshot) => snapshot.id)
}
