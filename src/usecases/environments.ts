import type { Branch } from '../git/git-repository.ts'
import { listSnapshots, type SnapshotLine } from './log.ts'
import type { ConfiguredWorkspace } from './workspace.ts'

export type EnvironmentLine = Branch & {
  readonly current: boolean
  readonly snapshots: number
  readonly latest: SnapshotLine | undefined
}

/** `git env list`: every branch, with its snapshots and the work tree it is checked out in. */
export async function listEnvironments(workspace: ConfiguredWorkspace): Promise<readonly EnvironmentLine[]> {
  const [branches, snapshots] = await Promise.all([workspace.git.branches(), listSnapshots(workspace, { all: true })])
  const byEnvironment = Map.groupBy(
    snapshots.filter((snapshot) => snapshot.trigger !== 'safety'),
    (snapshot) => snapshot.environment,
  )
  return branches.map((branch) => {
    const own = byEnvironment.get(branch.name) ?? []
    return {
      ...branch,
      current: branch.ref === workspace.environment.ref,
      snapshots: own.length,
      latest: own.find((snapshot) => !snapshot.partial),
    }
  })
}
