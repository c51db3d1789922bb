import { copyFileSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import type { Connection, Word } from '../../src/services/redis/connection.ts'
import type { DriverSample, LiveSample } from '../contract/service-driver.ts'
import { library, oddKeyChanges, oddKeys } from '../support/odd-redis.ts'
import { indexContent, keysNaming, serverContent, writtenNumbers } from '../support/redis-content.ts'
import { startRedisWriter } from '../support/redis-writer.ts'
import { type RedisServer, redisServer, startRedis } from '../support/servers/redis.ts'
import { temporaryDirectory } from '../support/temporary.ts'

export const sample: DriverSample = { type: 'redis', title: 'one index', create: () => createIndexSample() }

/** What the documentation asks for, and nothing else. */
export const applicationRights = [
  '&*',
  '+@read',
  '+@write',
  '+@connection',
  ...'+info +psync +replconf +client +dump +restore +swapdb +flushdb +eval +bgsave +config|get +function'.split(' '),
]

const [index, spare] = [3, 15]

export type IndexOptions = {
  readonly server?: RedisServer
  /** What an ACL user may do, beside reading and writing all keys. */
  readonly user?: { readonly name: string; readonly password: string; readonly rights: readonly string[] }
}

/** Index 3 of a server with other indexes, functions and users. */
export async function createIndexSample({ server, user }: IndexOptions = {}): Promise<LiveSample> {
  const own = server ?? (await redisServer())
  const connection = await connected(own)
  await connection.run('FLUSHALL')
  await connection.batch([
    ['FUNCTION', 'FLUSH'],
    ['FUNCTION', 'LOAD', library('theirs', 1)],
  ])
  if (user) {
    const { name, password, rights } = user
    await connection.run('ACL', 'SETUSER', name, 'reset', 'on', `>${password}`, '~*', ...rights)
  }
  await fill(connection, index, oddKeys())
  for (const other of [0, 5]) await fill(connection, other, oddKeys().slice(0, 12))
  const strangers = async () => {
    const content = await serverContent(connection, (nr) => nr !== index && nr !== spare)
    return `${content}\n${String(await connection.run('ACL', 'LIST'))}\n${String(await connection.run('CONFIG', 'GET', '*'))}`
  }
  return {
    config: { url: own.url(index, user?.name, user?.password), spare },
    projectDirectory: await temporaryDirectory(),
    change: (seed) => fill(connection, index, oddKeyChanges(seed)),
    fingerprint: () => indexContent(connection, index),
    strangers,
    leftOver: (id) => keysNaming(connection, id),
    remove: () => fill(connection, index, [['FLUSHDB']]),
    ruins: {},
    startWriter: () => startRedisWriter({ socketPath: own.socketPath, index }),
    written: () => writtenNumbers(connection, index),
    fingerprintExport: async (directory, [first]) =>
      withDump(path.join(directory, first!), (loaded) => indexContent(loaded, 0)),
  }
}

/** A server of its own, all of which is named. */
export async function createServerSample(server?: RedisServer): Promise<LiveSample> {
  const own = server ?? (await redisServer())
  const connection = await connected(own)
  await connection.batch([['FLUSHALL'], ['FUNCTION', 'FLUSH']])
  for (const each of [0, 3, 9]) await fill(connection, each, oddKeys())
  await connection.batch([
    ['FUNCTION', 'LOAD', library('one', 1)],
    ['FUNCTION', 'LOAD', library('two', 2)],
  ])
  return {
    config: { url: own.url() },
    projectDirectory: await temporaryDirectory(),
    change: async (seed) => {
      await fill(connection, 0, oddKeyChanges(seed))
      await fill(connection, 9, [['FLUSHDB']])
      await fill(connection, 4, [['SET', 'new index', seed]])
      await connection.run('FUNCTION', 'LOAD', 'REPLACE', library('one', seed + 10))
      await connection.batch([['FUNCTION', 'DELETE', 'two']])
    },
    fingerprint: () => serverContent(connection, () => true),
    strangers: async () =>
      `${String(await connection.run('ACL', 'LIST'))}\n${String(await connection.run('CONFIG', 'GET', '*'))}`,
    leftOver: (id) => keysNaming(connection, id),
    remove: async () => void (await connection.batch([['FLUSHALL'], ['FUNCTION', 'FLUSH']])),
    ruins: {},
    startWriter: () => startRedisWriter({ socketPath: own.socketPath, index: 3 }),
    written: () => writtenNumbers(connection, 3),
    fingerprintExport: async (directory, [first]) =>
      withDump(path.join(directory, first!), (loaded) => serverContent(loaded, () => true)),
  }
}

async function connected(server: RedisServer): Promise<Connection> {
  const connection = await server.connect()
  onTestFinished(() => connection.destroy())
  return connection
}

async function fill(connection: Connection, at: number, commands: readonly Word[][]): Promise<void> {
  await connection.run('SELECT', at)
  for (const words of commands) await connection.run(...words)
}

/** A server that was started with this file as its dump. */
async function withDump<T>(file: string, look: (connection: Connection) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(path.join(tmpdir(), 'git-env-redis-'))
  copyFileSync(file, path.join(folder, 'dump.rdb'))
  const server = await startRedis({ folder })
  const connection = await server.connect()
  try {
    return await look(connection)
  } finally {
    connection.destroy()
    server.stop()
  }
}
