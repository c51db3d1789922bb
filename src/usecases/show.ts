import { EnvError } from '../domain/errors.ts'
import type { Manifest } from '../domain/manifest.ts'
import type { SnapshotCommit } from '../git/git-repository.ts'
import { resolveSnapshot } from './resolve-snapshot.ts'
import { type ConfiguredWorkspace, openStore } from './workspace.ts'

export type Shown = {
  readonly snapshot: SnapshotCommit
  /** undefined when the data is not in the store. */
  readonly manifest: Manifest | undefined
}

export async function show(workspace: ConfiguredWorkspace, name: string): Promise<Shown> {
  const snapshot = await resolveSnapshot(workspace.git, workspace.environment, name)
  const store = await openStore(workspace)
  try {
    return { snapshot, manifest: await store.manifest(snapshot.manifest) }
  } catch (error) {
    if (error instanceof EnvError && error.code === 'not-found') return { snapshot, manifest: undefined }
    throw error
  }
}
