import { flushCompileCache } from 'node:module'
import type { ServiceRecord } from '../../src/domain/manifest.ts'
import type { Staged } from '../../src/domain/swap.ts'
import files from '../../src/services/files.ts'
import type { Service, ServiceContext } from '../../src/services/service-driver.ts'
import { MemoryContent } from './memory-content.ts'

/** What a process of its own, perhaps of another user, shall do with a mount. */
export type MountJob = {
  readonly context: Omit<ServiceContext, 'trace' | 'signal' | 'foreign' | 'variable' | 'commands'>
} & (
  | {
      readonly task: 'forward' | 'back'
      readonly staged: Staged
      /** SIGKILL right after this durable step, counted from 1. */
      readonly step: number
    }
  | {
      readonly task: 'stage'
      readonly target: ServiceRecord
      /** The store's chunks, as text. */
      readonly chunks: readonly string[]
    }
)

/** An error as the process says it. */
export type MountWord = { readonly code: string; readonly message: string }

process.once('message', async (job: MountJob) => {
  flushCompileCache()
  let steps = 0
  const trace = () => {
    if (++steps === (job.task === 'stage' ? -1 : job.step)) process.kill(process.pid, 'SIGKILL')
  }
  const signal = new AbortController().signal
  const variable = () => undefined
  const commands = { environment: {}, secrets: [] }
  const context = { ...job.context, foreign: new Set<string>(), variable, commands, trace, signal }
  const service = await files.open({ path: 'media' }, context)
  if (job.task === 'stage') await stage(service, job)
  else await service.swap(job.staged)[job.task]()
  process.disconnect()
})

async function stage(service: Service, { target, chunks }: Extract<MountJob, { task: 'stage' }>): Promise<void> {
  const source = new MemoryContent()
  for (const chunk of chunks) await source.write('rows', Buffer.from(chunk))
  try {
    await service.stage(target, target, { source, id: 'refused', progress() {} })
  } catch (error) {
    const { code, message } = error as MountWord
    await new Promise((resolve) => process.send!({ code, message }, resolve))
  }
}
