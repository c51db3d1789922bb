import { randomBytes } from 'node:crypto'
import { EnvError } from '../../domain/errors.ts'
import type { Reservation, ServiceContext } from '../service-driver.ts'
import { Connection } from './connection.ts'
import { checked } from './facts.ts'
import { RefusedReply } from './replies.ts'
import type { Server } from './server.ts'

const aliveMs = 20_000
const prefix = 'git-env:'

/**
 * A connection with a name that tells the index: others see it in the list of clients, and it is gone when we are. Nothing is written to
 * the server. Of two that come at the same moment both may give way; none ever goes on beside another.
 */
export async function reserveIndex(server: Server, context: ServiceContext): Promise<Reservation> {
  const connection = await Connection.open(server, context.signal)
  try {
    const own = `${prefix}${server.index ?? 'all'}:${server.spare ?? ''}:${randomBytes(6).toString('hex')}`
    const [named, listed] = await connection.batch([
      ['CLIENT', 'SETNAME', own],
      ['CLIENT', 'LIST'],
    ])
    // A server that shows nobody its clients keeps no lock either; there the claim of the spare index is what is left.
    if (!(named instanceof RefusedReply && named.isDenied) && !(listed instanceof RefusedReply && listed.isDenied)) {
      checked(named!)
      const other = String(checked(listed!))
        .split('\n')
        .find((line) => isOther(line, own, server))
      if (other !== undefined) throw takenBy(server, other)
    }
  } catch (error) {
    connection.destroy()
    throw error
  }
  const timer = setInterval(() => void connection.batch([['PING']]).catch(() => {}), aliveMs)
  timer.unref()
  return {
    async release() {
      clearInterval(timer)
      connection.destroy()
    },
  }
}

function isOther(line: string, own: string, { index, spare }: Server): boolean {
  const name = / name=(\S*)/.exec(line)?.[1] ?? ''
  if (!name.startsWith(prefix) || name === own) return false
  const [theirs, theirSpare] = name.slice(prefix.length).split(':')
  if (index === undefined || theirs === 'all') return true
  const taken = new Set([theirs, theirSpare])
  return taken.has(String(index)) || (spare !== undefined && taken.has(String(spare)))
}

function takenBy({ place }: Server, line: string): EnvError {
  const [id, address] = [/\bid=(\d+)/.exec(line)?.[1], / addr=(\S+)/.exec(line)?.[1]]
  return new EnvError('busy', `another git-env works on ${place}: connection ${id} from ${address}`, {
    hint: 'wait until it is done; --wait does that',
    details: { connection: Number(id) },
  })
}
