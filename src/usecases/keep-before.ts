import { canonicalJson, type Json } from '../domain/canonical-json.ts'
import { EnvError } from '../domain/errors.ts'
import type { Participant } from '../domain/journal.ts'
import type { CodeRecord, Manifest, ServiceRecord } from '../domain/manifest.ts'
import { idAfter } from '../domain/snapshot-id.ts'
import type { Swap } from '../domain/swap.ts'
import type { CodeSwap } from '../git/git-repository.ts'
import type { ServiceSwap } from '../services/service-driver.ts'
import type { SnapshotWriter, Store } from '../store/store.ts'
import { recordManifest } from './snapshot.ts'
import type { ConfiguredWorkspace } from './workspace.ts'

/** A participant of a journal with what swaps it. */
export type Bound = { readonly participant: Participant; readonly swap: Swap }

/**
 * Stores what was there at the moment of the swap, which is what undo brings back. The id of its snapshot: the safety snapshot itself, when
 * nothing was written since it was taken.
 */
export async function keepBefore(
  workspace: ConfiguredWorkspace,
  store: Store,
  safetyId: string,
  bound: readonly Bound[],
): Promise<string> {
  const { git, ports } = workspace
  const safetyCommit = await git.snapshot(safetyId)
  if (!safetyCommit) throw new EnvError('damaged', `the safety snapshot ${safetyId} is gone`)
  const safety = await store.manifest(safetyCommit.manifest)
  const writer = store.writer()
  try {
    const { services, code } = await recordsBefore(safety, writer, bound)
    if (sameData(services, safety.services) && sameCode(code, safety.code)) {
      await writer.abort()
      return safety.id
    }
    const manifest: Manifest = {
      ...safety,
      id: idAfter(safety.id, ports.newId()),
      message: `${safety.message}, at the swap`,
      createdAt: ports.now().toISOString(),
      completes: safety.id,
      code,
      services,
    }
    await recordManifest(workspace, writer, manifest, 'side')
    return manifest.id
  } catch (error) {
    await writer.abort()
    throw error
  }
}

async function recordsBefore(safety: Manifest, writer: SnapshotWriter, bound: readonly Bound[]) {
  const services: ServiceRecord[] = []
  for (const record of safety.services) {
    const service = bound.find(({ participant }) => participant.name === record.name && participant.kind !== 'code')
    services.push(service ? await (service.swap as ServiceSwap).before(writer, record) : record)
  }
  const codeSwap = bound.find(({ participant }) => participant.kind === 'code')
  const code = codeSwap ? await (codeSwap.swap as CodeSwap).before() : safety.code
  return { services, code }
}

function sameData(a: readonly ServiceRecord[], b: readonly ServiceRecord[]): boolean {
  const essence = (records: readonly ServiceRecord[]) =>
    canonicalJson(records.map(({ name, presence, streams }) => ({ name, presence, streams })) as unknown as Json)
  return essence(a) === essence(b)
}

function sameCode(a: CodeRecord, b: CodeRecord): boolean {
  return a.commit === b.commit && a.changes?.commit === b.changes?.commit
}
