import { hash } from 'node:crypto'
import { hostname } from 'node:os'
import { EnvError, systemCode } from '../../domain/errors.ts'
import type { Marker, Reservation } from '../service-driver.ts'
import type { Client } from './client.ts'
import { asObject, at, type Exact } from './exact-json.ts'

/** Our own index in the server: who works with which indices, and whose data they hold. No application needs it. */
const stateIndex = 'git-env-state'
/** A server ends no lock by itself: one that its owner no longer renews is over. */
const leaseMs = 90_000
const renewalMs = 20_000

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
  const first = await client.send('PUT', pathOf(client, 'lock', '_create'), { body: lock(), also: [409] })
  let version = first.status === 409 ? await takeOver(client) : versionOf(client.parse(first.body))
  let work = Promise.resolve()
  const renew = setInterval(() => {
    work = work.then(async () => {
      version = versionOf(await client.json('PUT', pathOf(client, 'lock'), { query: version, body: lock() }))
    })
    work.catch(() => {})
  }, renewalMs)
  renew.unref()
  return {
    release: async () => {
      clearInterval(renew)
      await work.catch(() => {})
      await client.send('DELETE', pathOf(client, 'lock'), { query: version, also: [404, 409] })
      client.close()
    },
  }
}

function lock(): Exact {
  return { host: hostname(), pid: process.pid, until: Date.now() + leaseMs }
}

async function takeOver(client: Client): Promise<Version> {
  const there = await client.send('GET', pathOf(client, 'lock'), { also: [404] })
  if (there.status !== 404) {
    const told = client.parse(there.body)
    const owner = asObject(at(told, '_source'))
    if (isOver(owner)) {
      const query = versionOf(told)
      const taken = await client.send('PUT', pathOf(client, 'lock'), { query, body: lock(), also: [409] })
      if (taken.status !== 409) return versionOf(client.parse(taken.body))
    }
    throw new EnvError(
      'busy',
      `${client.server.name}: another git-env is at work on ${client.server.place}: process ${String(owner['pid'])} on ${String(owner['host'])}`,
      { hint: 'wait for it to end' },
    )
  }
  return versionOf(await client.json('PUT', pathOf(client, 'lock', '_create'), { body: lock() }))
}

function isOver({ host, pid, until }: Readonly<Record<string, Exact | undefined>>): boolean {
  if (Number(until) < Date.now()) return true
  if (host !== hostname() || typeof pid !== 'number') return false
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return systemCode(error) === 'ESRCH'
  }
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
