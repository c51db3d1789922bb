import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { onTestFinished } from 'vitest'
import type { SampleWriter } from '../contract/service-driver.ts'

/** What a writer saw: the numbers that were committed, its errors, and its longest wait for an acknowledged write. */
export type PostgresWriter = SampleWriter & {
  readonly errors: readonly string[]
  longestWaitMs(): number
}

/** As busy as an application; more would only take the processor from those who are tested. */
const pauseMs = 4

/**
 * A process with a connection of its own that adds rows 1, 2, 3, … to the table `written`, one transaction each, and reports each after its commit.
 * When its connection is ended it connects again, as a pool does.
 */
export async function startPostgresWriter(connection: pg.ClientConfig): Promise<PostgresWriter> {
  const child = fork(fileURLToPath(import.meta.url), ['write', JSON.stringify(connection)], {
    execArgv: ['--no-warnings'],
  })
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

async function write(connection: pg.ClientConfig): Promise<void> {
  let isStopping = false
  process.once('message', () => {
    isStopping = true
  })
  process.once('disconnect', () => process.exit())
  let client: pg.Client | undefined
  let since = performance.now()
  for (let number = 1; !isStopping; number++) {
    try {
      client ??= await connect(connection, () => {
        client = undefined
      })
      await client.query(
        `SET client_min_messages = error; CREATE TABLE IF NOT EXISTS public.written (number integer PRIMARY KEY, text text)`,
      )
      await client.query('INSERT INTO public.written VALUES ($1, $2)', [number, `row ${number}`])
      process.send!({ number, waitMs: performance.now() - since })
      since = performance.now()
    } catch (error) {
      process.send!({ error: String(error) })
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  await client?.end().catch(() => {})
  process.disconnect()
}

async function connect(connection: pg.ClientConfig, onEnd: () => void): Promise<pg.Client> {
  const client = new pg.Client(connection)
  client.on('error', onEnd)
  client.on('end', onEnd)
  await client.connect()
  return client
}

if (process.argv[2] === 'write' && process.send) await write(JSON.parse(process.argv[3]!) as pg.ClientConfig)
