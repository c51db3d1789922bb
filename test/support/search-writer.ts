import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { SampleWriter } from '../contract/service-driver.ts'

/** As busy as an application; more would only take the processor from those who are tested. */
const pauseMs = 4

/** A process that adds documents 1, 2, 3, … to an index by its name, and reports each that was acknowledged. What is refused it tries again. */
export async function startSearchWriter(url: string): Promise<SampleWriter> {
  const child = fork(fileURLToPath(import.meta.url), ['write', url], { execArgv: ['--no-warnings'] })
  const acknowledged: number[] = []
  child.on('message', (number: number) => acknowledged.push(number))
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
  }
}

async function write(url: string): Promise<void> {
  let isStopping = false
  process.once('message', () => {
    isStopping = true
  })
  process.once('disconnect', () => process.exit())
  for (let number = 1; !isStopping; ) {
    const answer = await fetch(`${url}/_doc/${number}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: `{"number":${number}}`,
    }).catch(() => undefined)
    if (answer?.ok) process.send!(number++)
    await answer?.arrayBuffer()
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  process.disconnect()
}

if (process.argv[2] === 'write' && process.send) await write(process.argv[3]!)
