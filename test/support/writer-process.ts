import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { SampleWriter } from '../contract/service-driver.ts'
import { compiledEnvironment } from './compiled.ts'

/** What a writer saw: the numbers that were acknowledged, errors, and its longest wait for an answer, as far as it tells of it. */
export type WriterProcess = SampleWriter & {
  readonly errors: readonly string[]
  longestWaitMs(): number
}

type Word = { readonly number?: number; readonly waitMs?: number; readonly error?: string }

/** Starts a script that calls {@link writeWhenAsked} in a process of its own, which ends with the test. */
export function startWriterProcess(script: string, job: unknown): WriterProcess {
  const child = fork(fileURLToPath(script), ['write'], { execArgv: ['--no-warnings'], env: compiledEnvironment })
  const acknowledged: number[] = []
  const errors: string[] = []
  let longest = 0
  child.on('message', ({ number, waitMs, error }: Word) => {
    if (error !== undefined) errors.push(error)
    if (number !== undefined) acknowledged.push(number)
    longest = Math.max(longest, waitMs ?? 0)
  })
  child.send({ job })
  const exited = once(child, 'exit')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  return {
    acknowledged: () => acknowledged,
    stop: async () => {
      if (child.connected) child.send('stop')
      await exited
      return acknowledged
    },
    errors,
    longestWaitMs: () => longest,
  }
}

export type Writing = {
  isStopping(): boolean
  tell(word: Word): void
}

/** In the script: writes when it was started as a writer, until it is told to stop or who started it is gone. */
export function writeWhenAsked<Job>(write: (job: Job, writing: Writing) => Promise<void>): void {
  if (process.argv[2] !== 'write' || !process.send) return
  process.once('message', async ({ job }: { job: Job }) => {
    let isStopping = false
    process.once('message', () => {
      isStopping = true
    })
    process.once('disconnect', () => process.exit())
    await write(job, { isStopping: () => isStopping, tell: (word) => process.send!(word) })
    process.disconnect()
  })
}
