import type { Json } from '../../domain/canonical-json.ts'
import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import { presentRecord, type RecordBase, storeDatabase } from './records.ts'
import { WorkerProcess } from './worker-process.ts'

/** Stores a copy that was set aside as the record of a present database. */
export async function recordCopy(
  base: RecordBase,
  sink: ContentSink,
  copy: string,
  facts: Readonly<Record<string, Json>>,
  signal: AbortSignal,
): Promise<ServiceRecord> {
  const worker = new WorkerProcess(copy, signal)
  try {
    const examined = worker.call('examine', { path: copy })
    const [stream, { digest, problem }] = await Promise.all([storeDatabase(sink, copy, () => {}), examined])
    if (problem) throw new EnvError('damaged', `${copy}, what was there before, is damaged: ${problem}`)
    const { mode = null, uid = null, gid = null } = facts
    return presentRecord(base, stream, digest, { mode, uid, gid, heldMicros: 0 })
  } finally {
    await worker.kill()
  }
}
