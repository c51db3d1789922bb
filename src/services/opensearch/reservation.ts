import { hash } from 'node:crypto'
import { isOver, keepLease, type Lease, newLease, takenBy } from '../connection/lease.ts'
import type { Marker, Reservation } from '../service-driver.ts'
import type { Client } from './client.ts'
import { asObject, at, type Exact } from './exact-json.ts'

/** Our own index in the server: who works with which indices, and whose data they hold. No application needs it. */
const stateIndex = 'git-env-state'

const stateDefinition = {
  settings: { index: { number_of_shards: 1, auto_expand_replicas: '0-1', hidden: true } },
  mappings: { dynamic: false },
}

function pathOf(client: Client, kind: 'lock' | 'marker', verb = '_doc'): string {
  const key = hash('sha256', [...client.server.indices.texts].sort().join('\n')).slice(0, 32)
  return `/${stateIndex}/${verb}/${kind}-${key}`
}

async function makeStateIndex(client: Client): Promise<void> {
  const there = await client.send('HEAD', `/${stateIndex}`, { also: [404] })
  if (there.status === 404) await client.send('PUT', `/${stateIndex}`, { body: stateDefinition, also: [400] })
}

type Version = Readonly<Record<'if_seq_no' | 'if_primary_term', string>>

/** A document that one git-env writes, by its version: nobody can write it in between. */
export async function reserveIndices(client: Client): Promise<Reservation> {
  await makeStateIndex(client)
  const first = await client.send('PUT', pathOf(client, 'lock', '_create'), { body: newLease(), also: [409] })
  let version = first.status === 409 ? await takeOver(client) : versionOf(client.parse(first.body))
  return keepLease({
    renew: async () => {
      version = versionOf(await client.json('PUT', pathOf(client, 'lock'), { query: version, body: newLease() }))
    },
    drop: async () => {
      await client.send('DELETE', pathOf(client, 'lock'), { query: version, also: [404, 409] })
      client.close()
    },
  })
}

async function takeOver(client: Client): Promise<Version> {
  const there = await client.send('GET', pathOf(client, 'lock'), { also: [404] })
  if (there.status !== 404) {
    const told = client.parse(there.body)
    const { host, pid, until } = asObject(at(told, '_source'))
    const owner: Lease = { host: String(host), pid: Number(pid), until: Number(until) }
    if (isOver(owner)) {
      const query = versionOf(told)
      const taken = await client.send('PUT', pathOf(client, 'lock'), { query, body: newLease(), also: [409] })
      if (taken.status !== 409) return versionOf(client.parse(taken.body))
    }
    throw takenBy(owner, client.server.name, client.server.place)
  }
  return versionOf(await client.json('PUT', pathOf(client, 'lock', '_create'), { body: newLease() }))
}

function versionOf(told: Exact): Version {
  return { if_seq_no: String(at(told, '_seq_no')), if_primary_term: String(at(told, '_primary_term')) }
}

export async function readMarker(client: Client): Promise<Marker | undefined> {
  const answer = await client.send('GET', pathOf(client, 'marker'), { also: [404] })
  if (answer.status === 404) return undefined
  return at(client.parse(answer.body), '_source') as unknown as Marker
}

export async function writeMarker(client: Client, marker: Marker): Promise<void> {
  await makeStateIndex(client)
  await client.send('PUT', pathOf(client, 'marker'), { body: marker as unknown as Exact })
}
