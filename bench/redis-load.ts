import { fileURLToPath } from 'node:url'
import { connectTo } from '../test/support/servers/redis.ts'
import { type Load, startLoad, writeAllTheTime } from './load.ts'

type Place = { readonly socketPath: string }

/** Some connections of a process of its own that set keys all the time. */
export function redisLoad(place: Place): Promise<Load> {
  return startLoad(fileURLToPath(import.meta.url), place)
}

if (process.argv[2] === 'write' && process.send) {
  const { socketPath } = JSON.parse(process.argv[3]!) as Place
  await writeAllTheTime(
    () => connectTo(socketPath, 0),
    async (connection, number, writer) => {
      await connection.run('SET', `written:${number % 1000}`, writer)
      await connection.run('HSET', `session:${number % 100_000}`, 'seen', number)
    },
  )
}
