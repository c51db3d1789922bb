import { createWriteStream } from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { encodeCommands, type Word } from '../src/services/redis/connection.ts'
import { findProgram } from '../test/support/servers/install.ts'
import { type RedisServer, startRedis } from '../test/support/servers/redis.ts'
import { measure, table } from './measure.ts'
import { redisLoad } from './redis-load.ts'
import { freezeRows, longestInSwap, makeProject, restoreRows, snapshotRows } from './shop.ts'

const keys = 1_000_000
const settings = ['--save', '3600 1', '--appendonly', 'no', '--repl-diskless-sync-delay', '0']

/** A million keys: git-env beside redis-cli, and what writers notice. */
export async function benchRedis(directory: string): Promise<void> {
  const server = await startRedis({ directory, settings })
  const beside = await startRedis({ directory, settings })
  try {
    const commands = path.join(directory, 'commands')
    await pipeline(Readable.from(chunks()), createWriteStream(commands))
    await feed(server, commands)
    const project = path.join(directory, 'project')
    makeProject(project, ['services:', `  cache: { type: redis, url: ${JSON.stringify(server.url(0))}, spare: 15 }`])
    const memory = /used_memory_human:(\S+)/.exec(server.cli('INFO', 'memory'))?.[1]
    process.stdout.write(`\nRedis, ${keys} keys in one index, ${memory} in memory, one run\n`)
    const archive = path.join(directory, 'dump.rdb')
    const cli = findProgram('redis-cli', 'redis-tools')
    const dump = () => measure(cli, ['-s', server.socketPath, '--rdb', archive], { cwd: directory })
    const show = (rows: string[][]) => process.stdout.write(`\n${table(['', 'git env', 'beside it', 'ratio'], rows)}\n`)
    show(await snapshotRows(project, 'redis-cli --rdb', archive, dump))
    const theirs = await feed(beside, commands)
    show(
      await restoreRows(project, 'the same keys fed to redis-cli --pipe', theirs, {
        everything: () => change(server, 1),
        little: () => change(server, 100),
        settle: async () => {},
      }),
    )
    const load = await redisLoad(server)
    const rows = await freezeRows(project, { Redis: load })
    rows.push(['longest wait in a swap', await longestInSwap(project, load), '', ''])
    await load.stop()
    show(rows)
  } finally {
    server.stop()
    beside.stop()
  }
}

async function feed(server: RedisServer, file: string): Promise<number> {
  const words = ['-c', '"$0" -s "$1" --pipe < "$2"', findProgram('redis-cli', 'redis-tools'), server.socketPath, file]
  return (await measure('sh', words, { cwd: path.dirname(file) })).seconds
}

/** Appends to one session of so many. */
async function change(server: RedisServer, of: number): Promise<void> {
  const connection = await server.connect(0)
  const commands = Array.from({ length: keys / 10 / of }, (_, nr): Word[] => [
    'HSET',
    `session:${nr * of}`,
    'seen',
    Date.now(),
  ])
  for (let at = 0; at < commands.length; at += 1000) await connection.batch(commands.slice(at, at + 1000))
  connection.destroy()
}

/** Seven strings, one hash, one list and one sorted set in ten; half of the strings expire some day. */
function* chunks(): Generator<Buffer> {
  const later = 4_102_444_800_000
  for (let from = 0; from < keys; from += 1000) {
    const commands = Array.from({ length: 1000 }, (_, each): Word[] => {
      const nr = from + each
      const text = `${nr} lorem ipsum dolor sit amet ${nr * 7919} consetetur sadipscing ${nr * 31}`
      if (nr % 10 === 7)
        return ['HSET', `session:${(nr - 7) / 10}`, 'user', nr, 'name', `user ${nr}`, 'at', nr * 1000, 'text', text]
      if (nr % 10 === 8) return ['RPUSH', `queue:${nr}`, nr, `job ${nr}`, text]
      if (nr % 10 === 9) return ['ZADD', `rank:${nr}`, nr / 7, `a ${nr}`, nr / 3, `b ${nr}`]
      return nr % 2 === 0 ? ['SET', `cache:page:${nr}`, text, 'PXAT', later + nr] : ['SET', `cache:block:${nr}`, text]
    })
    yield encodeCommands(commands)
  }
}
