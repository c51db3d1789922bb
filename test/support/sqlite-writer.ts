import { fork } from 'node:child_process'
import { once } from 'node:events'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { SampleWriter } from '../contract/service-driver.ts'

/** What a writer saw: the numbers that were committed, errors, and its longest wait for a commit. */
export type SqliteWriter = SampleWriter & {
  readonly errors: readonly string[]
  longestWaitMs(): number
}

/** As busy as an application; more would only take the processor from those who are tested. */
const pauseMs = 4

/**
 * A process with a connection of its own that adds rows 1, 2, 3, … to the table `written`, one transaction each, and reports each after
 * its commit. It makes the table when it is gone, and goes on with the number that follows the highest it committed.
 */
export async function startSqliteWriter(file: string): Promise<SqliteWriter> {
  const child = fork(fileURLToPath(import.meta.url), ['write', file], { execArgv: ['--no-warnings'] })
  const acknowledged: number[] = []
  const errors: string[] = []
  let longest = 0
  child.on('message', (word: { number?: number; waitMs?: number; error?: string }) => {
    if (word.error !== undefined) errors.push(word.error)
    if (word.number !== undefined) acknowledged.push(word.number)
    longest = Math.max(longest, word.waitMs ?? 0)
  })
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

async function write(file: string): Promise<void> {
  const database = new DatabaseSync(file, { timeout: 30_000 })
  let stopping = false
  process.once('message', () => {
    stopping = true
  })
  process.once('disconnect', () => process.exit())
  for (let number = 1; !stopping; number++) {
    const start = performance.now()
    try {
      database.exec('CREATE TABLE IF NOT EXISTS written (number INTEGER PRIMARY KEY, text TEXT)')
      database.prepare('INSERT INTO written VALUES (?, ?)').run(number, `row ${number}`)
      process.send!({ number, waitMs: performance.now() - start })
    } catch (error) {
      process.send!({ error: String(error) })
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  database.close()
  process.disconnect()
}

if (process.argv[2] === 'write' && process.send) await write(process.argv[3]!)
