import pg from 'pg'
import { startWriterProcess, type WriterProcess, type Writing, writeWhenAsked } from './writer-process.ts'

/** As busy as an application; more would only take the processor from those who are tested. */
const pauseMs = 4

/**
 * A process with a connection of its own that adds rows 1, 2, 3, … to the table `written`, one transaction each, and reports each after its commit.
 * When its connection is ended it connects again, as a pool does.
 */
export async function startPostgresWriter(connection: pg.ClientConfig): Promise<WriterProcess> {
  return startWriterProcess(import.meta.url, connection)
}

async function write(connection: pg.ClientConfig, { isStopping, tell }: Writing): Promise<void> {
  let client: pg.Client | undefined
  let since = performance.now()
  for (let number = 1; !isStopping(); number++) {
    try {
      client ??= await connect(connection, () => {
        client = undefined
      })
      await client.query(
        `SET client_min_messages = error; CREATE TABLE IF NOT EXISTS public.written (number integer PRIMARY KEY, text text)`,
      )
      await client.query('INSERT INTO public.written VALUES ($1, $2)', [number, `row ${number}`])
      tell({ number, waitMs: performance.now() - since })
      since = performance.now()
    } catch (error) {
      tell({ error: String(error) })
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  await client?.end().catch(() => {})
}

async function connect(connection: pg.ClientConfig, onEnd: () => void): Promise<pg.Client> {
  const client = new pg.Client(connection)
  client.on('error', onEnd)
  client.on('end', onEnd)
  await client.connect()
  return client
}

writeWhenAsked(write)
