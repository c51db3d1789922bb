import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { flushCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { Staged } from '../../src/domain/swap.ts'
import { loadDriver } from '../../src/services/registry.ts'
import type { ServiceContext } from '../../src/services/service-driver.ts'
import { compiledEnvironment } from './compiled.ts'
import { MemoryContent } from './memory-content.ts'

/** What another process shall do with a service, as plain data. */
export type SwapJob = {
  readonly type: string
  readonly config: Readonly<Record<string, unknown>>
  readonly context: Omit<ServiceContext, 'trace' | 'signal' | 'foreign' | 'variable' | 'commands'>
  readonly staged: Staged
  /** What the target holds, for a driver that finds more to stage: chunks by name, in base64. */
  readonly chunks?: Readonly<Record<string, string>>
  /** `swap`: all of it; the others hold, and are killed while they do. */
  readonly task: 'swap' | 'hold for a capture' | 'hold for a swap'
  /** SIGKILL right after this durable step, counted from 1. */
  readonly killAtStep?: number
}

export type SwapOutcome = {
  readonly killed: boolean
  /** What `lastCapture` gave to the journal, when it came to that. */
  readonly staged: Staged | undefined
}

type Word = { readonly staged?: Staged; readonly held?: true; readonly failed?: string }

/** Runs a job in a process of its own and waits for its end, by itself or by SIGKILL. */
export async function startSwapProcess(job: SwapJob): Promise<SwapOutcome> {
  const child = fork(fileURLToPath(import.meta.url), ['run'], {
    execArgv: ['--no-warnings'],
    env: compiledEnvironment,
  })
  let staged: Staged | undefined
  let failed: string | undefined
  child.on('message', (word: Word) => {
    staged = word.staged ?? staged
    failed = word.failed ?? failed
    if (word.held) child.kill('SIGKILL')
  })
  child.send(job)
  const [, signal] = await exitOf(child)
  if (failed !== undefined) throw new Error(`the other process says ${failed}`)
  return { killed: signal === 'SIGKILL', staged }
}

async function exitOf(child: ChildProcess): Promise<[number | null, string | null]> {
  return (await once(child, 'exit')) as [number | null, string | null]
}

async function run(job: SwapJob): Promise<void> {
  let steps = 0
  const trace = () => {
    steps++
    if (steps === job.killAtStep) process.kill(process.pid, 'SIGKILL')
  }
  const driver = await loadDriver(job.type)
  flushCompileCache()
  const signal = new AbortController().signal
  const variable = (name: string) => process.env[name]
  const commands = { environment: compiledEnvironment, secrets: [] }
  const service = await driver.open(job.config, {
    ...job.context,
    foreign: new Set(),
    variable,
    commands,
    trace,
    signal,
  })
  if (job.task === 'hold for a capture') {
    const capture = await service.capture(new MemoryContent(), { damage: 'keep', live: false, progress() {} })
    await capture.stop?.()
    await capture.hold(5000)
    await capture.point()
    return say({ held: true })
  }
  const swap = service.swap(job.staged, MemoryContent.of(job.chunks ?? {}))
  if (job.task === 'swap') await swap.prepare?.()
  await swap.stop?.()
  await swap.hold(5000)
  if (job.task === 'hold for a swap') return say({ held: true })
  await say({ staged: await swap.lastCapture() })
  await swap.forward()
  await swap.catchUp?.()
  await swap.readBack()
  await swap.release()
  await swap.start?.()
  await service.close()
}

/** Resolves when the word has left this process: what was said before a SIGKILL arrives. */
function say(word: Word): Promise<void> {
  return new Promise((resolve) => process.send!(word, () => resolve()))
}

if (process.argv[2] === 'run' && process.send) {
  process.once('message', (job: SwapJob) => {
    run(job).then(
      () => job.task === 'swap' && process.disconnect(),
      (error) => say({ failed: String(error?.stack ?? error) }).then(() => process.exit(1)),
    )
  })
}
