import { randomUUID } from 'node:crypto'
import { isOver, keepLease, type Lease, newLease, takenBy } from '../connection/lease.ts'
import type { Marker, Reservation } from '../service-driver.ts'
import { stateCollection } from './names.ts'
import { type Document, duplicateKey, numberOf, type Shell, serverCode } from './shell.ts'

/** A document of ours, in the database itself, that one git-env writes: by a mark that changes with each who takes it. */
export async function reserveDatabase(shell: Shell): Promise<Reservation> {
  const { name, place } = shell.server
  const there = await read(shell, 'lock')
  const owner = there && leaseIn(there)
  if (owner && !isOver(owner)) throw takenBy(owner, name, place)
  const mine = randomUUID()
  try {
    await write(shell, { _id: 'lock', mark: there?.['mark'] ?? mine }, { mark: mine, ...newLease() })
  } catch (error) {
    if (serverCode(error) !== duplicateKey) throw error
    const faster = await read(shell, 'lock')
    throw takenBy(faster ? leaseIn(faster) : newLease(), name, place)
  }
  const query = { _id: 'lock', mark: mine }
  return keepLease({
    renew: () => write(shell, query, { mark: mine, ...newLease() }),
    drop: async () => void (await shell.command({ findAndModify: stateCollection, query, remove: true })),
  })
}

function leaseIn(told: Document): Lease {
  return { host: String(told['host']), pid: numberOf(told['pid']), until: numberOf(told['until']) }
}

export async function readMarker(shell: Shell): Promise<Marker | undefined> {
  const told = await read(shell, 'marker')
  if (!told) return undefined
  const { ref, restoring } = told
  return { ref: String(ref), ...(restoring === undefined ? {} : { restoring: String(restoring) }) }
}

export async function writeMarker(shell: Shell, { ref, restoring }: Marker): Promise<void> {
  await write(shell, { _id: 'marker' }, { ref, ...(restoring === undefined ? {} : { restoring }) })
}

async function read(shell: Shell, id: string): Promise<Document | undefined> {
  return (await shell.list({ find: stateCollection, filter: { _id: id } }))[0]
}

/** In the place of what the query finds, or beside it: two documents with one `_id` the server refuses. */
async function write(shell: Shell, query: Document, update: Document): Promise<void> {
  await shell.command({ findAndModify: stateCollection, query, update, upsert: true })
}
