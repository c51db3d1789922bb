import { fileURLToPath } from 'node:url'
import { type ConnectionOptions, createConnection } from 'mysql2/promise'
import { isOdd, type Load, startLoad, writeAllTheTime } from './load.ts'

/** Some connections of a process of its own that insert and update rows in turns, all the time. */
export function mariadbLoad(connection: ConnectionOptions): Promise<Load> {
  return startLoad(fileURLToPath(import.meta.url), connection)
}

if (process.argv[2] === 'write' && process.send) {
  const options = JSON.parse(process.argv[3]!) as ConnectionOptions
  await writeAllTheTime(
    async () => {
      const connection = await createConnection(options)
      connection.on('error', () => {})
      return connection
    },
    async (connection, number, writer) => {
      if (isOdd(number))
        await connection.query('UPDATE part_9 SET price = ? WHERE id = ?', [writer, 1 + (number % 600_000)])
      else await connection.query('INSERT IGNORE INTO written VALUES (?, ?, ?)', [number, writer, `row ${number}`])
    },
  )
}
