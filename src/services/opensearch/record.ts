import { hash } from 'node:crypto'
import type { ContentSink, ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { Level, ObjectRecord, ServiceRecord, StreamRecord } from '../../domain/manifest.ts'
import type { IndexDefinition } from './definitions.ts'
import { at, type ExactObject, parseExact, stableText } from './exact-json.ts'
import { byName } from './names.ts'
import { noOthers, type Others } from './others.ts'
import type { Stored } from './store-documents.ts'

export const definitionsStream = 'definitions'
/** No index can have this name. */
/** People call it an index; a Redis server has indices too. */
const documentsKind = 'collection'
const definitionsObject = '_definitions'

export type Definitions = { readonly indices: readonly IndexDefinition[]; readonly others: Others }

export type Facts = {
  readonly rung: string
  /** What tells whether an index was written to since, by name. */
  readonly evidence: Readonly<Record<string, string>>
}

export function factsOf(record: ServiceRecord): Facts {
  return { rung: 'point', evidence: {}, ...(record.facts as Partial<Facts>) }
}

type Base = { readonly name: string; readonly type: string; readonly level: Level }

function absentRecord(base: Base): ServiceRecord {
  return {
    ...base,
    kind: 'service',
    presence: 'absent',
    live: [],
    bytes: 0,
    files: 0,
    streams: [],
    objects: [],
    versions: {},
    facts: {},
  }
}

export function documentsStream(index: string): string {
  return `documents/${index}`
}

export async function presentRecord(
  base: Base,
  { indices, others }: Definitions,
  stored: ReadonlyMap<string, Stored>,
  more: Pick<ServiceRecord, 'versions' | 'facts'> & { readonly sink: Pick<ContentSink, 'write'> },
): Promise<ServiceRecord> {
  const isNothing = indices.length === 0 && Object.values(others).every((list) => list.length === 0)
  if (isNothing) return absentRecord(base)
  const text = stableText({ version: 1, indices: [...indices].sort(byName), others } as unknown as ExactObject)
  const bytes = Buffer.from(`${text}\n`)
  const streams: StreamRecord[] = [
    { name: definitionsStream, kind: 'bytes', content: await more.sink.write('rows', bytes) },
  ]
  const objects: ObjectRecord[] = [{ name: definitionsObject, kind: 'schema', rows: 0, digest: hash('sha256', bytes) }]
  for (const [name, { content, rows }] of stored) {
    streams.push({ name: documentsStream(name), kind: 'bytes', content })
    objects.push({ name, kind: documentsKind, rows, digest: content.sha256 })
  }
  return {
    ...absentRecord(base),
    presence: 'present',
    bytes: streams.reduce((sum, { content }) => sum + content.bytes, 0),
    streams: streams.sort(byName),
    objects: objects.sort(byName),
    versions: more.versions,
    facts: more.facts,
  }
}

/** Throws `refused` for what a newer git-env wrote, `damaged` for what is missing. */
export async function loadDefinitions(source: ContentSource, record: ServiceRecord): Promise<Definitions> {
  if (record.presence === 'absent') return { indices: [], others: noOthers }
  const stream = record.streams.find(({ name }) => name === definitionsStream)
  if (!stream) throw new EnvError('damaged', `${record.name}: the snapshot has no stream ${definitionsStream}`)
  const parts: Uint8Array[] = []
  for await (const part of source.read(stream.content)) parts.push(Uint8Array.from(part))
  const told = parseExact(Buffer.concat(parts).toString('utf8'))
  if (at(told, 'version') !== 1) {
    throw new EnvError('refused', `${record.name}: its definitions were written by a newer git-env`, {
      hint: 'install a newer git-env',
    })
  }
  return told as unknown as Definitions
}

/** What was stored of each index. */
export function storedOf(record: ServiceRecord): Map<string, Stored> {
  const stored = new Map<string, Stored>()
  for (const { name, kind, rows } of record.objects) {
    const stream = kind === documentsKind && record.streams.find((each) => each.name === documentsStream(name))
    if (stream) stored.set(name, { content: stream.content, rows })
  }
  return stored
}
