import { hash } from 'node:crypto'
import path from 'node:path'
import { EnvError } from '../../domain/errors.ts'

/** All that git-env makes in a vhost begins so; it is neither captured nor restored. */
const ownPrefix = 'git-env.'
/** An exchange that nobody publishes to: whose data is there, in its arguments. */
export const markerExchange = `${ownPrefix}marker`
/** A queue that only one connection can have. */
export const reservationQueue = `${ownPrefix}reserved`

export type OwnNames = {
  /** Holds one message from the commit of a swap until it is tidied up. */
  readonly markQueue: string
  /** The exchange by which messages reach one queue and no other. */
  exchangeTo(queue: string): string
  readonly directory: string
}

export function ownNames(id: string, service: string, privateDirectory: string): OwnNames {
  if (!/^[0-9a-z]{1,30}$/.test(id)) throw new EnvError('bug', `${JSON.stringify(id)} is no name of a restore`)
  const tag = hash('sha256', service).slice(0, 6)
  return {
    markQueue: `${ownPrefix}${id}.${tag}`,
    exchangeTo: (queue) => `${ownPrefix}${id}.${tag}.${hash('sha256', queue).slice(0, 16)}`,
    directory: path.join(privateDirectory, `swap-${id}`),
  }
}

export function isOwn(name: string): boolean {
  return name.startsWith(ownPrefix)
}
