import { formatBytes, plural } from '../../domain/format-text.ts'
import type { Probe, ServiceContext } from '../service-driver.ts'
import { Connection, type Word } from './connection.ts'
import { indexSizes, info, type ServerFacts, serverFacts } from './facts.ts'
import { RefusedReply, type Reply } from './replies.ts'
import type { Server } from './server.ts'

/** What a user needs beside reading and writing keys, in a form that does nothing: what he may not use is refused before it is understood. */
const forHold: Readonly<Record<string, readonly Word[]>> = { 'client|pause': ['CLIENT', 'PAUSE', 0, 'WRITE'] }
const forRestore: Readonly<Record<string, readonly Word[]>> = {
  eval: ['EVAL', 'return 0', 0],
  swapdb: ['SWAPDB', 'none', 'none'],
  flushdb: ['FLUSHDB', 'none'],
  restore: ['RESTORE', 'git-env', 0, 'nothing'],
  dump: ['DUMP', 'git-env'],
  scan: ['SCAN', 0, 'COUNT', 1],
  bgsave: ['BGSAVE', 'none'],
}

/** What `status` and `doctor` say of an index or a server. */
export async function probeServer(server: Server, context: ServiceContext): Promise<Probe> {
  const { name } = server
  const connection = await Connection.open(server, context.signal)
  try {
    const facts = await serverFacts(connection, name)
    const sizes = await indexSizes(connection)
    const all = sizes.reduce((sum, size) => sum + size, 0)
    const keys = server.index === undefined ? all : (sizes[server.index] ?? 0)
    const libraries = server.index === undefined ? await countLibraries(connection) : 0
    const denied = await deniedCommands(connection)
    const memory = Number((await info(connection, name, 'memory')).get('used_memory_dataset') ?? 0)
    const product = facts.product === 'redis' ? 'Redis' : 'Valkey'
    const advice = adviceOf(server, sizes, denied)
    return {
      presence: keys + libraries > 0 ? 'present' : 'absent',
      summary: `${product} ${facts.version}, ${plural(keys, 'key')}${libraries > 0 ? `, ${plural(libraries, 'library')} of functions` : ''}`,
      bytes: all === 0 ? 0 : Math.round((memory * keys) / all),
      versions: { [facts.product]: facts.version },
      rung: rungOf(facts, denied),
      ...(advice === undefined ? {} : { advice }),
      swap: 'rename',
      warnings: warningsOf(server, facts, sizes, denied),
    }
  } finally {
    connection.destroy()
  }
}

async function countLibraries(connection: Connection): Promise<number> {
  const [reply] = await connection.batch([['FUNCTION', 'LIST']])
  return Array.isArray(reply) ? reply.length : 0
}

/** Commands that the user may not use. */
async function deniedCommands(connection: Connection): Promise<readonly string[]> {
  const commands = Object.entries({ replconf: ['REPLCONF', 'capa', 'psync2'], ...forHold, ...forRestore })
  const replies = await connection.batch(commands.map(([, words]) => words))
  const denied = commands.flatMap(([name], nr) => (isDenied(replies[nr]) ? [name] : []))
  return (await mayReplicate(connection, denied)) ? denied : ['psync', ...denied]
}

/** PSYNC has no form that does nothing; some users may ask. */
async function mayReplicate(connection: Connection, denied: readonly string[]): Promise<boolean> {
  const [who] = await connection.batch([['ACL', 'WHOAMI']])
  if (who === undefined || who instanceof RefusedReply) return !denied.includes('replconf')
  const [may] = await connection.batch([['ACL', 'DRYRUN', who as Buffer, 'PSYNC', '?', -1]])
  if (may instanceof RefusedReply) return !denied.includes('replconf')
  return String(may) === 'OK'
}

function isDenied(reply: Reply | undefined): boolean {
  return reply instanceof RefusedReply && reply.isDenied
}

function rungOf({ isReplica }: ServerFacts, denied: readonly string[]): string {
  const lacks = (...commands: readonly string[]) => commands.some((command) => denied.includes(command))
  if (lacks('psync', 'replconf'))
    return 'live: read key by key while others write, since the server gives this user no dump of one moment'
  if (isReplica) return 'point: a replica cannot make the writers of its master wait'
  if (lacks(...Object.keys(forHold)))
    return 'point: one moment, and nobody waits, since this user may not pause writers'
  return 'frozen: writers wait for a moment while the point is taken'
}

function adviceOf({ index, spare }: Server, sizes: readonly number[], denied: readonly string[]): string | undefined {
  if (denied.length > 0) return `ACL SETUSER <user> ${denied.map((command) => `+${command}`).join(' ')}`
  if (index === undefined || spare !== undefined) return undefined
  const empty = sizes.findLastIndex((size, nr) => size === 0 && nr !== index)
  if (empty < 0) return 'for restores: set more databases in redis.conf, and give one as spare'
  return `for restores: spare: ${empty} in the configuration, if nothing else uses that index`
}

function warningsOf(server: Server, facts: ServerFacts, sizes: readonly number[], denied: readonly string[]): string[] {
  const warnings: string[] = []
  if (facts.isCluster) warnings.push('the server is a node of a cluster: nothing of it can be captured or restored')
  if (facts.isReplica) warnings.push('the server is a replica: nothing can be restored into it')
  const missing = Object.keys(forRestore).filter((command) => denied.includes(command))
  if (missing.length > 0) warnings.push(`this user may not restore: ${missing.join(', ')}`)
  if (server.index === undefined) {
    warnings.push('users, settings and cached scripts of the server are not captured')
    const used = sizes.filter((size) => size > 0).length
    if (2 * used > sizes.length) {
      warnings.push(`a restore needs as many empty indexes as there are used ones: ${used} of ${sizes.length} are used`)
    }
  } else if (server.spare !== undefined && sizes[server.spare] !== 0) {
    const there = sizes[server.spare] === undefined ? 'does not exist' : 'is not empty'
    warnings.push(`the spare index ${server.spare} ${there}: nothing can be restored`)
  }
  const { maxMemory, usedMemory } = facts
  if (maxMemory > 0 && usedMemory * 2 > maxMemory) {
    warnings.push(
      `a restore holds what comes beside what is there: ${formatBytes(usedMemory)} of ${formatBytes(maxMemory)} are used, so it may be refused`,
    )
  }
  return warnings
}
