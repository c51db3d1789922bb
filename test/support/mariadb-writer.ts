import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { SampleWriter } from '../contract/service-driver.ts'
import { compiledEnvironment } from './compiled.ts'

/** What a writer saw: the numbers that were committed, errors, and its longest wait for a commit. */
export type MariadbWriter = SampleWriter & {
  readonly errors: readonly string[]
  longestWaitMs(): number
}

export type WriterOptions = {
  readonly socketPath: string
  readonly database: string
  /** Each number goes in by this statement, `?` being the number; the default adds a row to `written`. */
  readonly statement?: string
}

/** As busy as an application; more would only take the processor from those who are tested. */
const pauseMs = 4

/**
 * A process with a connection of its own that adds rows 1, 2, 3, … to the table `written`, one transaction each, and reports each after its
 * commit. It makes the table when it is gone.
 */
export async function startMariadbWriter(options: WriterOptions): Promise<MariadbWriter> {
  const child = fork(fileURLToPath(import.meta.url), ['write'], {
    execArgv: ['--no-warnings'],
    env: compiledEnvironment,
  })
  const acknowledged: number[] = []
  const errors: string[] = []
  let longest = 0
  child.on('message', (word: { number?: number; waitMs?: number; error?: string }) => {
    if (word.error !== undefined) errors.push(word.error)
    if (word.number !== undefined) acknowledged.push(word.number)
    longest = Math.max(longest, word.waitMs ?? 0)
  })
  child.send(options)
  const exited = once(child, 'exit')
  const stop = async () => {
    if (child.connected) child.send('stop')
    await exited
    return acknowledged
  }
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  return { acknowledged: () => acknowledged, stop, errors, longestWaitMs: () => longest }
}

async function write({ socketPath, database, statement = 'INSERT INTO written VALUES (?, NOW(6))' }: WriterOptions) {
  const { createConnection } = await import('mysql2/promise')
  const connection = await createConnection({ socketPath, user: 'root', database })
  let stopping = false
  process.once('message', () => {
    stopping = true
  })
  process.once('disconnect', () => process.exit())
  for (let number = 1; !stopping; number++) {
    const start = performance.now()
    try {
      await connection.query(statement, [number]).catch(async (error: { errno?: number }) => {
        if (error.errno !== 1146) throw error
        await connection.query(
          'CREATE TABLE IF NOT EXISTS written (number INT PRIMARY KEY, at VARCHAR(40)) ENGINE=InnoDB',
        )
        await connection.query(statement, [number])
      })
      process.send!({ number, waitMs: performance.now() - start })
    } catch (error) {
      process.send!({ error: String(error) })
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  await connection.end()
  process.disconnect()
}

if (process.argv[2] === 'write' && process.send) {
  process.once('message', (options: WriterOptions) => void write(options))
}
