import { canonicalJson, type Json } from '../../domain/canonical-json.ts'
import type { Broker } from './broker.ts'
import type { Link } from './link.ts'
import { type Management, part } from './management.ts'
import { isOwn } from './names.ts'

type Arguments = { readonly [key: string]: Json }

export type QueueDefinition = { readonly name: string; readonly auto_delete: boolean; readonly arguments: Arguments }
export type ExchangeDefinition = {
  readonly name: string
  readonly type: string
  readonly auto_delete: boolean
  readonly internal: boolean
  readonly arguments: Arguments
}
export type BindingDefinition = {
  readonly source: string
  readonly destination: string
  readonly destination_type: 'queue' | 'exchange'
  readonly routing_key: string
  readonly arguments: Arguments
}
export type PolicyDefinition = {
  readonly name: string
  readonly pattern: string
  readonly 'apply-to': string
  readonly definition: Arguments
  readonly priority: number
}
type PermissionDefinition = {
  readonly user: string
  readonly configure: string
  readonly write: string
  readonly read: string
}

/** What is durable in a vhost and nobody's alone, ordered. Without what git-env makes, and without parameters, which may hold passwords. */
export type Definitions = {
  readonly queues: readonly QueueDefinition[]
  readonly exchanges: readonly ExchangeDefinition[]
  readonly bindings: readonly BindingDefinition[]
  readonly policies: readonly PolicyDefinition[]
}

/** What only an administrator sees, and what is needed when the whole vhost is made anew. */
export type VhostDefinition = {
  readonly description: string
  readonly tags: readonly string[]
  readonly permissions: readonly PermissionDefinition[]
}

/** A queue as it is now: its definition, and what matters for reading it. */
export type LiveQueue = QueueDefinition & {
  readonly kind: 'classic' | 'quorum' | 'stream'
  /** How often a quorum queue delivers a message before it gives it up. */
  readonly deliveryLimit: number | undefined
  readonly isSingleActive: boolean
  /** As the management plugin last heard, some seconds ago. */
  readonly unacknowledged: number
}

export type LiveDefinitions = { readonly definitions: Definitions; readonly queues: readonly LiveQueue[] }

export const noDefinitions: Definitions = { queues: [], exchanges: [], bindings: [], policies: [] }

type ListedQueue = QueueDefinition & {
  readonly durable: boolean
  readonly exclusive: boolean
  readonly type?: string
  readonly effective_policy_definition?: Arguments | readonly never[] | null
  readonly messages_unacknowledged?: number
}
type Listed<T> = readonly (T & { readonly durable: boolean })[]

const queueColumns =
  'name,durable,exclusive,auto_delete,arguments,type,effective_policy_definition,messages_unacknowledged'

export async function readDefinitions(management: Management, vhost: string, major: number): Promise<LiveDefinitions> {
  const at = part(vhost)
  const [queues, exchanges, bindings, policies] = await Promise.all([
    management.get<Json>(`queues/${at}?columns=${queueColumns}`),
    management.get<Json>(`exchanges/${at}`),
    management.get<Json>(`bindings/${at}`),
    management.getIfAllowed<Json>(`policies/${at}`),
  ])
  const durable = ((queues ?? []) as unknown as readonly ListedQueue[]).filter(
    (queue) => queue.durable && !queue.exclusive && !isOwn(queue.name),
  )
  const kept = ((exchanges ?? []) as unknown as Listed<ExchangeDefinition>).filter(
    ({ name, durable: isDurable }) => isDurable && name !== '' && !name.startsWith('amq.') && !isOwn(name),
  )
  const ends = {
    queue: new Set(durable.map(({ name }) => name)),
    exchange: new Set([...kept.map(({ name }) => name), ...predefined]),
  }
  const definitions: Definitions = {
    queues: durable
      .map(({ name, auto_delete, arguments: given }) => ({ name, auto_delete, arguments: given }))
      .sort(byKey),
    exchanges: kept
      .map(({ name, type, auto_delete, internal, arguments: given }) => ({
        name,
        type,
        auto_delete,
        internal,
        arguments: given,
      }))
      .sort(byKey),
    bindings: ((bindings ?? []) as unknown as BindingDefinition[])
      .filter((each) => ends.exchange.has(each.source) && ends[each.destination_type].has(each.destination))
      .map(({ source, destination, destination_type, routing_key, arguments: given }) => ({
        source,
        destination,
        destination_type,
        routing_key,
        arguments: given,
      }))
      .sort(byKey),
    policies: ((policies ?? []) as unknown as PolicyDefinition[])
      .map(({ name, pattern, 'apply-to': applyTo, definition, priority }) => ({
        name,
        pattern,
        'apply-to': applyTo,
        definition,
        priority,
      }))
      .sort(byKey),
  }
  return { definitions, queues: durable.map((queue) => liveQueue(queue, major)).sort(byKey) }
}

const predefined = ['amq.direct', 'amq.fanout', 'amq.topic', 'amq.headers', 'amq.match']

function liveQueue(queue: ListedQueue, major: number): LiveQueue {
  const { name, auto_delete, arguments: given } = queue
  const kind = String(queue.type ?? given['x-queue-type'] ?? 'classic')
    .replace('rabbit_', '')
    .replace('_queue', '')
  const policy = (queue.effective_policy_definition ?? {}) as Arguments
  const limits = [given['x-delivery-limit'], policy['delivery-limit']].filter((each) => typeof each === 'number')
  const usual = major >= 4 ? 20 : undefined
  return {
    name,
    auto_delete,
    arguments: given,
    kind: kind === 'quorum' || kind === 'stream' ? kind : 'classic',
    deliveryLimit: kind !== 'quorum' ? undefined : limits.length > 0 ? Math.min(...limits) : usual,
    isSingleActive: given['x-single-active-consumer'] === true,
    unacknowledged: queue.messages_unacknowledged ?? 0,
  }
}

/** undefined where this user is no administrator. */
export async function readVhost(management: Management, vhost: string): Promise<VhostDefinition | undefined> {
  const at = part(vhost)
  const found = await management.getIfAllowed<{ description?: string; tags?: string[] }>(`vhosts/${at}`)
  const permissions = found && (await management.getIfAllowed<Json>(`vhosts/${at}/permissions`))
  if (!found || !permissions) return undefined
  return {
    description: found.description ?? '',
    tags: found.tags ?? [],
    permissions: (permissions as unknown as PermissionDefinition[])
      .map(({ user, configure, write, read }) => ({ user, configure, write, read }))
      .sort((a, b) => (a.user < b.user ? -1 : 1)),
  }
}

export async function brokerVersion(management: Management): Promise<{ version: string; major: number }> {
  const overview = await management.get<{ rabbitmq_version?: string; management_version?: string }>('overview')
  const version = overview?.rabbitmq_version ?? overview?.management_version ?? ''
  return { version, major: Number.parseInt(version, 10) || 0 }
}

export async function readLive({ management, broker }: Pick<Link, 'management' | 'broker'>): Promise<LiveDefinitions> {
  return readDefinitions(management, broker.vhost, (await brokerVersion(management)).major)
}

/** What tells one definition of its kind from another, and a text that is equal when they are. */
export const keys = {
  queues: ({ name }: QueueDefinition) => name,
  exchanges: ({ name }: ExchangeDefinition) => name,
  bindings: (binding: BindingDefinition) => canonicalJson(binding as unknown as Json),
  policies: ({ name }: PolicyDefinition) => name,
} as const

function byKey(a: object, b: object): number {
  const [first, second] = [a, b].map((each) => ('name' in each ? String(each.name) : canonicalJson(each as Json)))
  return first! < second! ? -1 : first! > second! ? 1 : 0
}

export function sameDefinition(a: unknown, b: unknown): boolean {
  return canonicalJson(a as Json) === canonicalJson(b as Json)
}

/** Declares through the management interface, which changes nothing where it is there already as it should be. */
export class DefinitionWriter {
  readonly #management: Management
  readonly #at: string

  constructor(management: Management, { vhost }: Pick<Broker, 'vhost'>) {
    this.#management = management
    this.#at = part(vhost)
  }

  queue({ name, ...rest }: QueueDefinition): Promise<void> {
    return this.#management.put(`queues/${this.#at}/${part(name)}`, { ...rest, durable: true })
  }

  exchange({ name, ...rest }: ExchangeDefinition): Promise<void> {
    return this.#management.put(`exchanges/${this.#at}/${part(name)}`, { ...rest, durable: true })
  }

  binding({ source, destination, destination_type, ...rest }: BindingDefinition): Promise<void> {
    const kind = destination_type === 'queue' ? 'q' : 'e'
    return this.#management.post(`bindings/${this.#at}/e/${part(source)}/${kind}/${part(destination)}`, rest)
  }

  policy({ name, ...rest }: PolicyDefinition): Promise<void> {
    return this.#management.put(`policies/${this.#at}/${part(name)}`, rest as unknown as Json)
  }

  dropQueue(name: string): Promise<void> {
    return this.#management.delete(`queues/${this.#at}/${part(name)}`)
  }

  dropExchange(name: string): Promise<void> {
    return this.#management.delete(`exchanges/${this.#at}/${part(name)}`)
  }

  dropPolicy(name: string): Promise<void> {
    return this.#management.delete(`policies/${this.#at}/${part(name)}`)
  }

  async dropBinding(binding: BindingDefinition): Promise<void> {
    const kind = binding.destination_type === 'queue' ? 'q' : 'e'
    const path = `bindings/${this.#at}/e/${part(binding.source)}/${kind}/${part(binding.destination)}`
    const found = (await this.#management.get<Json>(path)) as unknown as (BindingDefinition & {
      properties_key: string
    })[]
    for (const each of found ?? []) {
      const isThis = each.routing_key === binding.routing_key && sameDefinition(each.arguments, binding.arguments)
      if (isThis) await this.#management.delete(`${path}/${part(each.properties_key)}`)
    }
  }

  /** Makes the vhost with this note on it, so that a crash leaves no doubt whose it is. */
  async vhost({ description, tags }: VhostDefinition, note?: string): Promise<void> {
    const told = note === undefined ? { description, tags: tags.join(',') } : { description: note, tags: '' }
    await this.#management.put(`vhosts/${this.#at}`, told)
  }

  async permissions({ permissions }: VhostDefinition): Promise<void> {
    for (const { user, ...rest } of permissions) await this.#permit(user, rest)
  }

  /** A user who is gone is left out. */
  async #permit(user: string, rights: Json): Promise<void> {
    const isThere = (await this.#management.get<Json>(`users/${part(user)}`)) !== undefined
    if (isThere) await this.#management.put(`permissions/${this.#at}/${part(user)}`, rights)
  }

  dropVhost(): Promise<void> {
    return this.#management.delete(`vhosts/${this.#at}`)
  }
}
