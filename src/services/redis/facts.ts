import { EnvError } from '../../domain/errors.ts'
import type { Connection } from './connection.ts'
import { RefusedReply, type Reply } from './replies.ts'

/** What is to know of a server. */
export type ServerFacts = {
  readonly product: 'redis' | 'valkey'
  readonly version: string
  readonly isReplica: boolean
  readonly isCluster: boolean
  readonly usedMemory: number
  readonly maxMemory: number
  readonly evicts: boolean
}

const oldest = 7

/** Throws `refused` for a server that is too old. */
export async function serverFacts(connection: Connection, name: string): Promise<ServerFacts> {
  const all = await info(connection, name)
  const valkey = all.get('valkey_version')
  const version = valkey ?? all.get('redis_version') ?? ''
  if (Number.parseInt(all.get('redis_version') ?? version, 10) < oldest) {
    throw new EnvError('refused', `${name}: Redis ${version} is older than ${oldest}.0`, {
      hint: 'such versions get no corrections any more: upgrade the server',
    })
  }
  return {
    product: valkey === undefined ? 'redis' : 'valkey',
    version,
    isReplica: all.get('role') === 'slave',
    isCluster: all.get('cluster_enabled') === '1',
    usedMemory: Number(all.get('used_memory') ?? 0),
    maxMemory: Number(all.get('maxmemory') ?? 0),
    evicts: !['noeviction', undefined].includes(all.get('maxmemory_policy')),
  }
}

/** All that INFO tells, or a section of it. */
export async function info(connection: Connection, name: string, ...sections: string[]): Promise<Map<string, string>> {
  try {
    const text = await connection.text('INFO', ...sections)
    const pairs = text.split(/\r?\n/).flatMap((line): [string, string][] => {
      const at = line.indexOf(':')
      return at > 0 && !line.startsWith('#') ? [[line.slice(0, at), line.slice(at + 1)]] : []
    })
    return new Map(pairs)
  } catch (error) {
    if (!(error instanceof RefusedReply) || !error.isDenied) throw error
    throw denied(name, 'info', error)
  }
}

export function denied(name: string, command: string, cause: unknown): EnvError {
  return new EnvError('refused', `${name}: the user of the url may not use ${command.toUpperCase()}`, {
    cause,
    hint: `let it, as a user who may: ACL SETUSER <user> +${command}`,
  })
}

const mostIndexes = 1024

/** Keys in each index that the server has; in a cluster the one. */
export async function indexSizes(connection: Connection): Promise<number[]> {
  const sizes: number[] = []
  for (let from = 0; from < mostIndexes; from += 16) {
    const commands = Array.from({ length: 16 }, (_, nr) => [['SELECT', from + nr], ['DBSIZE']]).flat()
    const replies = await connection.batch(commands)
    for (let nr = 0; nr < 16; nr++) {
      if (replies[2 * nr] instanceof RefusedReply) return sizes
      sizes.push(checked(replies[2 * nr + 1]!) as number)
    }
  }
  return sizes
}

/** A reply that is no error. */
export function checked(reply: Reply): Reply {
  if (reply instanceof RefusedReply) throw reply
  return reply
}
