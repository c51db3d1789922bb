import { hash } from 'node:crypto'
import type { ContentSink, ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ObjectRecord, ServiceRecord, StreamRecord } from '../../domain/manifest.ts'
import type { Definition } from './collections.ts'
import type { Stored } from './documents.ts'

export const definitionsStream = 'definitions'
/** No collection can have this name. */
const definitionsObject = '$definitions'
const documentsKind = 'documents'

export function documentsStream(collection: string): string {
  return `documents/${collection}`
}

/** Each collection is read by itself, one after the other, so all of it is `live`. */
export async function recordOf(
  name: string,
  definitions: readonly Definition[],
  stored: ReadonlyMap<string, Stored>,
  more: { readonly sink: ContentSink; readonly version: string },
): Promise<ServiceRecord> {
  const streams: StreamRecord[] = []
  const objects: ObjectRecord[] = []
  if (definitions.length > 0) {
    const bytes = Buffer.from(`${JSON.stringify({ version: 1, collections: [...definitions].sort(byName) })}\n`)
    streams.push({ name: definitionsStream, kind: 'bytes', content: await more.sink.write('rows', bytes) })
    objects.push({ name: definitionsObject, kind: 'definitions', rows: 0, digest: hash('sha256', bytes) })
  }
  for (const [collection, { content, rows }] of stored) {
    streams.push({ name: documentsStream(collection), kind: 'bytes', content })
    objects.push({ name: collection, kind: documentsKind, rows, digest: content.sha256 })
  }
  streams.sort(byName)
  return {
    name,
    kind: 'service',
    type: 'mongodb',
    presence: definitions.length > 0 ? 'present' : 'absent',
    level: 'live',
    live: streams.map((stream) => stream.name),
    bytes: streams.reduce((sum, { content }) => sum + content.bytes, 0),
    files: 0,
    streams,
    objects: objects.sort(byName),
    versions: definitions.length > 0 ? { mongodb: more.version } : {},
    facts: {},
  }
}

/** Throws `refused` for what a newer git-env wrote, `damaged` for what is missing. */
export async function loadDefinitions(source: ContentSource, record: ServiceRecord): Promise<readonly Definition[]> {
  if (record.presence === 'absent') return []
  const stream = record.streams.find(({ name }) => name === definitionsStream)
  if (!stream) throw new EnvError('damaged', `${record.name}: the snapshot has no stream ${definitionsStream}`)
  const parts: Uint8Array[] = []
  for await (const part of source.read(stream.content)) parts.push(Uint8Array.from(part))
  const told = JSON.parse(Buffer.concat(parts).toString('utf8')) as { version: number; collections: Definition[] }
  if (told.version === 1) return told.collections
  throw new EnvError('refused', `${record.name}: its definitions were written by a newer git-env`, {
    hint: 'install a newer git-env',
  })
}

export function storedOf(record: ServiceRecord, collection: string): Stored {
  const stream = record.streams.find(({ name }) => name === documentsStream(collection))
  const object = record.objects.find(({ name, kind }) => name === collection && kind === documentsKind)
  if (stream && object) return { content: stream.content, rows: object.rows }
  throw new EnvError('damaged', `${record.name}: the snapshot has no documents of ${collection}`)
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}
