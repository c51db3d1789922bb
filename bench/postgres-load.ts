import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { isOdd, type Load, startLoad, writeAllTheTime } from './load.ts'

/** Some connections of a process of its own that insert and update rows in turns, all the time. */
export function postgresLoad(connection: pg.ClientConfig): Promise<Load> {
  return startLoad(fileURLToPath(import.meta.url), connection)
}

async function connect(connection: pg.ClientConfig): Promise<pg.Client> {
  const client = new pg.Client(connection)
  client.on('error', () => {})
  await client.connect()
  return client
}

if (process.argv[2] === 'write' && process.send) {
  const connection = JSON.parse(process.argv[3]!) as pg.ClientConfig
  await writeAllTheTime(
    () => connect(connection),
    async (client, number, writer) => {
      const values = [number, writer, `row ${number}`]
      if (isOdd(number))
        await client.query('UPDATE part_9 SET price = $1 WHERE id = $2', [writer, 1 + (number % 600_000)])
      else await client.query('INSERT INTO written VALUES ($1, $2, $3) ON CONFLICT DO NOTHING', values)
    },
  )
}
