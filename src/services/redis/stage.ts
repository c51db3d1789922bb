import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { ServiceContext, StageOptions } from '../service-driver.ts'
import { refuseCluster, selectIndex } from './capture.ts'
import { Connection } from './connection.ts'
import { checked, denied, indexSizes, serverFacts } from './facts.ts'
import { FunctionFiles } from './function-files.ts'
import { claimKey, claimPrefix, parseSelection, partPrefix } from './keys.ts'
import { compareKeys, type LoadOptions, loadKeys, refuseWithoutRoom } from './load.ts'
import { payloadVersion } from './payload.ts'
import { persist } from './persist.ts'
import { indexOfStream } from './records.ts'
import { RefusedReply, type Reply } from './replies.ts'
import { type ClaimState, claimIndex, dropClaimed } from './scripts.ts'
import type { Server } from './server.ts'
import type { StagedIndex, StagedRedis } from './staged.ts'
import { readTarget } from './target.ts'

export type StageRequest = { readonly target: ServiceRecord; readonly options: StageOptions }

/** Puts what comes into spare indexes, and compares it there with what is stored. */
export async function stageKeys(
  server: Server,
  context: ServiceContext,
  { target: record, options }: StageRequest,
): Promise<StagedRedis> {
  const { id, only, source } = options
  const { name } = server
  const selections = only && parseSelection(only, name)
  if (selections && server.index === undefined) {
    throw new EnvError('usage', `${name}: some keys of a whole server cannot be chosen`, {
      hint: 'give the url an index, or restore all of it',
    })
  }
  const connection = await Connection.open(server, context.signal)
  let isClaimed = false
  try {
    const facts = await serverFacts(connection, name)
    refuseCluster(facts, name)
    if (facts.isReplica) {
      throw new EnvError('refused', `${name}: the server is a replica, into which nothing can be written`, {
        hint: 'give the url of its master',
      })
    }
    const chosen = await choosePairs(connection, server, record)
    const serverVersion = await writtenVersion(connection, server, chosen[0]!.spare)
    const target = await readTarget(record, source, server, { selections, serverVersion })
    refuseWithoutRoom(name, facts, target.indexes.values())
    const pairs = chosen.map((pair) => ({ ...pair, keys: target.indexes.get(pair.index)?.keys ?? 0 }))
    const claim = claimKey(id)
    for (const { spare } of pairs) {
      const keys = await script(connection, name, claimIndex, claim, spare)
      if (keys !== 0) throw await notEmpty(connection, server, spare)
      isClaimed = true
    }
    for (const { index, spare } of pairs) {
      const load = target.indexes.get(index)
      if (!load) continue
      const { progress } = options
      const prefix = selections ? partPrefix(id, 'comes') : ''
      const { signal, privateDirectory } = context
      const part: LoadOptions = {
        ...{
          connection,
          name,
          spare,
          target: load,
          source,
          selections,
          prefix,
          progress,
          signal,
          privateDirectory,
          claim,
        },
      }
      await loadKeys(part)
      await compareKeys(part)
    }
    if (server.index === undefined) {
      await new FunctionFiles(context.privateDirectory, id).write('after', target.libraries)
    }
    for (const { spare } of pairs) {
      for (const reply of await connection.batch([
        ['SELECT', spare],
        ['SET', claim, 'staged', 'XX'],
      ])) {
        if (checked(reply) === null)
          throw new EnvError('busy', `${name}: somebody has emptied index ${spare} meanwhile`)
      }
    }
    await persist(connection, name)
    const functions = server.index === undefined
    return { way: 'rename', id, pairs, only: only ?? null, functions, ...warningsOf(server) }
  } catch (error) {
    if (isClaimed) await sweepIndexes(server, context, id, connection).catch(() => {})
    if (context.signal.aborted && !(error instanceof EnvError)) {
      throw new EnvError('cancelled', 'cancelled', { hint: 'nothing was left half done' })
    }
    throw error
  } finally {
    connection.destroy()
  }
}

function warningsOf(server: Server): { readonly warnings?: readonly string[] } {
  return server.index === undefined
    ? { warnings: ['users, settings and cached scripts of the server stay as they are'] }
    : {}
}

/** The version of RDB that the server writes, and so the newest that it reads: a key that is there for no one but this script says it. */
async function writtenVersion(connection: Connection, server: Server, spare: number): Promise<number> {
  const reply = await script(
    connection,
    server.name,
    `redis.call('SELECT', ARGV[2])
     redis.call('SET', ARGV[1], '', 'PX', 60000)
     local payload = redis.call('DUMP', ARGV[1])
     redis.call('DEL', ARGV[1])
     return payload`,
    `${claimPrefix}version`,
    spare,
  )
  return payloadVersion(reply as Buffer)
}

/** For each index that takes part, the one in which it is staged. */
async function choosePairs(
  connection: Connection,
  server: Server,
  record: ServiceRecord,
): Promise<Pick<StagedIndex, 'index' | 'spare'>[]> {
  const { name, index, spare } = server
  if (index !== undefined) {
    if (spare !== undefined) {
      await selectIndex(connection, server, index)
      await selectIndex(connection, server, spare)
      return [{ index, spare }]
    }
    const sizes = await indexSizes(connection)
    const empty = sizes.findLastIndex((size, nr) => size === 0 && nr !== index)
    throw new EnvError('refused', `${name}: no spare index is given in which a restore could be staged`, {
      hint:
        empty < 0
          ? 'the server has no empty index: set more `databases` in redis.conf, then give one as spare: <index>'
          : `index ${empty} is empty: if nothing uses it, write spare: ${empty} into the configuration`,
    })
  }
  const sizes = await indexSizes(connection)
  const stored = record.streams.flatMap(({ name: stream }) => indexOfStream(stream) ?? [])
  const parts = new Set([...stored, ...[...sizes.keys()].filter((nr) => sizes[nr]! > 0)])
  // One takes part even where there are no keys at all: its spare says how far a swap of functions is.
  if (parts.size === 0) parts.add(0)
  const missing = [...parts].find((nr) => nr >= sizes.length)
  const free = [...sizes.keys()].filter((nr) => !parts.has(nr))
  if (missing !== undefined || free.length < parts.size) {
    const needed = missing === undefined ? 2 * parts.size : Math.max(missing + 1, 2 * parts.size)
    throw new EnvError(
      'refused',
      `${name}: a restore needs an empty index for each that it restores: ${parts.size}, and the server has ${free.length}`,
      {
        hint: `set databases ${needed} in redis.conf and restart the server, or give each index a service of its own`,
      },
    )
  }
  return [...parts].sort((a, b) => a - b).map((nr) => ({ index: nr, spare: free.pop()! }))
}

async function notEmpty(connection: Connection, { name }: Server, spare: number): Promise<EnvError> {
  await connection.run('SELECT', spare)
  const [, found] = (await connection.run('SCAN', 0, 'MATCH', `${claimPrefix}*`, 'COUNT', 1000)) as [Buffer, Buffer[]]
  const claim = found[0]?.toString()
  return new EnvError('refused', `${name}: index ${spare}, in which a restore is staged, is not empty`, {
    hint:
      claim === undefined
        ? 'give another one as spare, or empty it if nothing needs what is in it'
        : `it holds what the restore ${claim.slice(claimPrefix.length)} left: git env recover in its project, or FLUSHDB there if that is gone`,
  })
}

/** Drops what was staged for a restore. */
export async function sweepIndexes(
  server: Server,
  context: ServiceContext,
  id: string,
  connection: Connection,
): Promise<void> {
  const spares =
    server.index === undefined
      ? [...(await indexSizes(connection)).keys()]
      : server.spare === undefined
        ? []
        : [server.spare]
  await dropIndexes(connection, server.name, id, ['staging', 'staged'], spares)
  await new FunctionFiles(context.privateDirectory, id).remove()
}

/** A dump on disk would bring them up again. */
export async function dropIndexes(
  connection: Connection,
  name: string,
  id: string,
  states: readonly ClaimState[],
  spares: readonly number[],
): Promise<void> {
  if (spares.length === 0) return
  const dropped = await script(connection, name, dropClaimed, claimKey(id), states.join(','), ...spares)
  if (dropped !== 0) await persist(connection, name)
}

async function script(
  connection: Connection,
  name: string,
  text: string,
  ...words: (string | number)[]
): Promise<Reply> {
  const [reply] = await connection.batch([['EVAL', text, 0, ...words]])
  if (!(reply instanceof RefusedReply)) return reply!
  throw refusedScript(reply, name)
}

/** A command that the user may not use names itself in the error. */
export function refusedScript(reply: RefusedReply, name: string): unknown {
  if (reply.code !== 'NOPERM' && !/ACL failure|no permissions/i.test(reply.message)) return reply
  const command = /'([a-z|]+)'/.exec(reply.message)?.[1] ?? 'eval'
  return denied(name, command, reply)
}
