import { startWriterProcess, type WriterProcess, type Writing, writeWhenAsked } from './writer-process.ts'

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
export async function startMariadbWriter(options: WriterOptions): Promise<WriterProcess> {
  return startWriterProcess(import.meta.url, options)
}

async function write(
  { socketPath, database, statement = 'INSERT INTO written VALUES (?, NOW(6))' }: WriterOptions,
  { isStopping, tell }: Writing,
) {
  const { createConnection } = await import('mysql2/promise')
  const connection = await createConnection({ socketPath, user: 'root', database })
  for (let number = 1; !isStopping(); number++) {
    const start = performance.now()
    try {
      await connection.query(statement, [number]).catch(async (error: { errno?: number }) => {
        if (error.errno !== 1146) throw error
        await connection.query(
          'CREATE TABLE IF NOT EXISTS written (number INT PRIMARY KEY, at VARCHAR(40)) ENGINE=InnoDB',
        )
        await connection.query(statement, [number])
      })
      tell({ number, waitMs: performance.now() - start })
    } catch (error) {
      tell({ error: String(error) })
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  await connection.end()
}

writeWhenAsked(write)
