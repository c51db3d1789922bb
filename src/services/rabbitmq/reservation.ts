import { EnvError } from '../../domain/errors.ts'
import type { Marker, Reservation } from '../service-driver.ts'
import type { Link } from './link.ts'
import { part } from './management.ts'
import { markerExchange, reservationQueue } from './names.ts'
import { replyOf } from './reply.ts'

/** An exclusive queue belongs to one connection and ends with it, so also with this process. */
export async function reserveVhost(link: Link): Promise<Reservation> {
  const { broker, management } = link
  const connection = await link.openIfThere()
  if (!connection) return { release: async () => {} }
  try {
    await (await connection.channel()).declareExclusive(reservationQueue)
    return { release: () => connection.close() }
  } catch (error) {
    await connection.close()
    if (replyOf(error) !== 405) throw error
    const queue = await management
      .get<{ owner_pid_details?: { name?: string; user?: string } }>(
        `queues/${part(broker.vhost)}/${part(reservationQueue)}`,
      )
      .catch(() => undefined)
    const owner = queue?.owner_pid_details
    const who = owner ? `: ${owner.user ?? ''} by ${owner.name ?? ''}` : ''
    throw new EnvError('busy', `${broker.name}: another git-env is at work on ${broker.place}${who}`, {
      cause: error,
      hint: 'wait for it to end',
    })
  }
}

/** undefined where there is none, or it cannot be read. */
export async function readMarker({ management, broker }: Link): Promise<Marker | undefined> {
  const path = `exchanges/${part(broker.vhost)}/${part(markerExchange)}`
  const exchange = await management.getIfAllowed<{ arguments?: { marker?: unknown } }>(path)
  const text = exchange?.arguments?.marker
  return typeof text === 'string' ? (JSON.parse(text) as Marker) : undefined
}

/** Arguments of an exchange do not change: it is made anew. Nothing happens where there is no vhost, or this user may not declare. */
export async function writeMarker({ management, broker }: Link, marker: Marker): Promise<void> {
  const path = `exchanges/${part(broker.vhost)}/${part(markerExchange)}`
  try {
    await management.delete(path)
    await management.put(path, {
      type: 'fanout',
      durable: true,
      auto_delete: false,
      internal: true,
      arguments: { marker: JSON.stringify(marker) },
    })
  } catch (error) {
    if (!(error instanceof EnvError) || (error.code !== 'refused' && error.code !== 'not-found')) throw error
  }
}
