import { hash } from 'node:crypto'
import type { Json } from '../../domain/canonical-json.ts'
import type { Content } from '../../domain/content.ts'
import { plural } from '../../domain/format-text.ts'
import type { Level, ObjectRecord, ServiceRecord } from '../../domain/manifest.ts'
import type { VhostDefinition } from './definitions.ts'

export const definitionsStream = 'definitions'
const queuePrefix = 'queue/'

/** What the driver keeps of a capture besides its streams. */
export type Facts = {
  readonly rung: string
  /** Only where an administrator took it. */
  readonly vhost: VhostDefinition | null
  /** Queues whose messages were left alone, with the reason. */
  readonly unread: Readonly<Record<string, string>>
  readonly rows: Readonly<Record<string, number>>
}

export function factsOf(record: ServiceRecord): Facts {
  return record.facts as unknown as Facts
}

function streamName(queue: string): string {
  return (
    queuePrefix +
    queue.replaceAll(
      /[%/\\\u0000-\u001f\u007f]/g,
      (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
    )
  )
}

/** The queue whose messages a stream holds. */
export function queueOf(stream: string): string | undefined {
  if (!stream.startsWith(queuePrefix)) return undefined
  return stream
    .slice(queuePrefix.length)
    .replaceAll(/%([0-9a-f]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
}

function base(name: string, level: Level, live: readonly string[]) {
  return { name, kind: 'service' as const, type: 'rabbitmq', level, live: [...live].sort(), files: 0 }
}

export function absentRecord(name: string, level: Level): ServiceRecord {
  return { ...base(name, level, []), presence: 'absent', bytes: 0, streams: [], objects: [], versions: {}, facts: {} }
}

export type Captured = {
  readonly definitions: Content
  /** By queue. */
  readonly queues: ReadonlyMap<string, { readonly content: Content; readonly count: number }>
  readonly level: Level
  readonly live: readonly string[]
  readonly versions: Readonly<Record<string, string>>
  readonly facts: Omit<Facts, 'rows'>
}

export function presentRecord(name: string, captured: Captured): ServiceRecord {
  const { definitions, queues, level, live, versions, facts } = captured
  const objects: ObjectRecord[] = [...queues].map(([queue, { content, count }]) => ({
    name: queue,
    kind: 'queue',
    rows: count,
    digest: content.sha256,
  }))
  objects.push({ name: definitionsStream, kind: 'definitions', rows: 0, digest: definitions.sha256 })
  const streams = [
    { name: definitionsStream, kind: 'bytes' as const, content: definitions },
    ...[...queues].map(([queue, { content }]) => ({ name: streamName(queue), kind: 'bytes' as const, content })),
  ]
  const rows = Object.fromEntries([...queues].map(([queue, { count }]) => [queue, count]))
  return {
    ...base(name, level, live),
    presence: 'present',
    bytes: streams.reduce((sum, { content }) => sum + content.bytes, 0),
    streams: streams.sort(byName),
    objects: objects.sort(byName),
    versions,
    facts: { ...facts, rows } as unknown as Readonly<Record<string, Json>>,
  }
}

/** The same definitions, and queues with nothing in them. */
export function withoutMessages(record: ServiceRecord): { record: ServiceRecord; leaves: string } | undefined {
  const definitions = record.streams.find(({ name }) => name === definitionsStream)
  const facts = record.presence === 'present' ? factsOf(record) : undefined
  const count = Object.values(facts?.rows ?? {}).reduce((sum, rows) => sum + rows, 0)
  if (!definitions || !facts || count === 0) return undefined
  const { name, level, live, versions } = record
  const nothing: Content = { bytes: 0, sha256: hash('sha256', ''), chunks: [] }
  const queues = new Map(Object.keys(facts.rows).map((queue) => [queue, { content: nothing, count: 0 }]))
  const captured = { definitions: definitions.content, queues, level, live, versions, facts }
  return { record: presentRecord(name, captured), leaves: plural(count, 'message') }
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}
