import type { VerifyReport } from '../store/store.ts'
import { dataMissing } from './data-missing.ts'
import { type ConfiguredWorkspace, openStore } from './workspace.ts'

export type Verified = VerifyReport & {
  /** Ids of snapshots in Git, not expired, whose manifest is not in the store. */
  readonly missing: readonly string[]
}

/** `git env verify`: every object of the store; with `data` every byte of it. */
export async function verify(workspace: ConfiguredWorkspace, options: { readonly data: boolean }): Promise<Verified> {
  const { progress, signal } = workspace.ports
  const store = await openStore(workspace)
  const usage = await store.usage()
  progress.phase('verifying', options.data ? usage.bytes : undefined)
  let last = 0
  try {
    const report = await store.verify({
      data: options.data,
      signal,
      progress: (done) => {
        progress.advance(done - last)
        last = done
      },
    })
    return { ...report, damages: await nameSnapshots(workspace, report.damages), missing: await dataMissing(workspace) }
  } finally {
    progress.end()
  }
}

/** A damaged manifest cannot say whose it is; the snapshot commits can. */
async function nameSnapshots(
  workspace: ConfiguredWorkspace,
  damages: VerifyReport['damages'],
): Promise<VerifyReport['damages']> {
  if (damages.every((damage) => !damage.object.startsWith('manifests/'))) return damages
  const snapshots = await workspace.git.snapshots()
  return damages.map((damage) => {
    const owners = snapshots.filter((snapshot) => damage.object === `manifests/${snapshot.manifest}`)
    return owners.length === 0 ? damage : { ...damage, snapshots: owners.map((snapshot) => snapshot.id) }
  })
}
