import { fork } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { ServiceRecord } from '../../src/domain/manifest.ts'
import type { Staged } from '../../src/domain/swap.ts'
import { compiledEnvironment } from './compiled.ts'
import type { MountBench } from './mount-bench.ts'
import type { MountJob, MountWord } from './mount-swap-process.ts'

/** Runs `forward` or `back` in another process, which is killed after its n-th durable step; whether it came to that. */
export async function killedAfter(
  step: number,
  bench: MountBench,
  staged: Staged,
  task: 'forward' | 'back',
): Promise<boolean> {
  const child = fork(fileURLToPath(new URL('./mount-swap-process.ts', import.meta.url)), {
    execArgv: ['--no-warnings'],
    env: compiledEnvironment,
  })
  const { name, environmentKey, projectDirectory, forbidden, privateDirectory, allowed } = bench.context
  const context = { name, environmentKey, nameHere: undefined, projectDirectory, forbidden, privateDirectory, allowed }
  child.send({ context, staged, task, step } satisfies MountJob)
  const [status, signal] = (await once(child, 'exit')) as [number | null, string | null]
  expect([status, signal]).toEqual(signal === 'SIGKILL' ? [null, 'SIGKILL'] : [0, null])
  return signal === 'SIGKILL'
}

/** What another user gets who stages the target. */
export async function asUser(
  bench: MountBench,
  target: ServiceRecord,
  user: { uid: number; gid: number },
): Promise<MountWord> {
  chmodSync(path.dirname(bench.project), 0o755)
  const privateDirectory = path.join(path.dirname(bench.project), 'private-of-another')
  mkdirSync(privateDirectory)
  chownSync(privateDirectory, user.uid, user.gid)
  const child = fork(fileURLToPath(new URL('./mount-swap-process.ts', import.meta.url)), {
    execArgv: ['--no-warnings'],
    env: compiledEnvironment,
    ...user,
  })
  const { name, environmentKey, projectDirectory, forbidden, allowed } = bench.context
  const chunks = [...bench.content.chunks.values()].map((chunk) => Buffer.from(chunk).toString('utf8'))
  const context = { name, environmentKey, nameHere: undefined, projectDirectory, forbidden, privateDirectory, allowed }
  child.send({ context, task: 'stage', target, chunks } satisfies MountJob)
  const [word] = (await once(child, 'message')) as [MountWord]
  return word
}
