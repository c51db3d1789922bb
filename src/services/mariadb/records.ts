import { hash } from 'node:crypto'
import { canonicalJson, type Json } from '../../domain/canonical-json.ts'
import type { ContentSink, ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { Level, ObjectRecord, ServiceRecord, StreamRecord } from '../../domain/manifest.ts'
import { byName, schemaStream, tableStream } from './names.ts'
import type { Schema } from './schema.ts'
import type { TableContent } from './table-rows.ts'

export type RecordBase = { readonly name: string; readonly level: Level; readonly live: readonly string[] }

export function absentRecord({ name, level }: Pick<RecordBase, 'name' | 'level'>): ServiceRecord {
  return {
    name,
    kind: 'service',
    type: 'mariadb',
    presence: 'absent',
    level,
    live: [],
    bytes: 0,
    files: 0,
    streams: [],
    objects: [],
    versions: {},
    facts: {},
  }
}

export function presentRecord(
  base: RecordBase,
  { stream, object }: StoredSchema,
  tables: ReadonlyMap<string, TableContent>,
  versions: Readonly<Record<string, string>>,
  facts: Readonly<Record<string, Json>>,
): ServiceRecord {
  const streams: StreamRecord[] = [stream]
  const objects: ObjectRecord[] = [object]
  for (const [name, { content, rows }] of tables) {
    streams.push({ name: tableStream(name), kind: 'bytes', content })
    objects.push({ name, kind: 'table', rows, digest: content.sha256 })
  }
  return {
    ...absentRecord(base),
    presence: 'present',
    live: base.live,
    bytes: streams.reduce((sum, { content }) => sum + content.bytes, 0),
    streams: streams.sort(byName),
    objects: objects.sort(byName),
    versions,
    facts,
  }
}

export type StoredSchema = { readonly stream: StreamRecord; readonly object: ObjectRecord }

export async function storeSchema(sink: Pick<ContentSink, 'write'>, schema: Schema): Promise<StoredSchema> {
  const stream = { name: schemaStream, kind: 'bytes', content: await sink.write('rows', encode(schema)) } as const
  // Where counters stand changes with rows; the definitions are the same.
  const still = {
    ...schema,
    tables: schema.tables.map((table) => ({ ...table, autoIncrement: null })),
    sequences: schema.sequences.map((sequence) => ({ ...sequence, next: '', round: '' })),
  }
  return { stream, object: { name: schemaStream, kind: 'schema', rows: 0, digest: hash('sha256', encode(still)) } }
}

function encode(schema: Schema): Buffer {
  return Buffer.from(`${canonicalJson(schema as unknown as Json)}\n`)
}

/** Throws `refused` for what a newer git-env wrote, `damaged` for what is no schema. */
export async function loadSchema(
  source: ContentSource,
  record: Pick<ServiceRecord, 'name' | 'streams'>,
): Promise<Schema> {
  const stream = record.streams.find(({ name }) => name === schemaStream)
  if (!stream) throw new EnvError('damaged', `${record.name}: the snapshot has no stream ${schemaStream}`)
  const parts: Uint8Array[] = []
  for await (const part of source.read(stream.content)) parts.push(part)
  const schema = JSON.parse(Buffer.concat(parts).toString('utf8')) as Schema
  if (schema.version === 1) return schema
  throw new EnvError('refused', `${record.name}: its definitions were written by a newer git-env`, {
    hint: 'install a newer git-env',
  })
}

/** What was recorded of each table. */
export function tablesOf(record: ServiceRecord): Map<string, TableContent> {
  const tables = new Map<string, TableContent>()
  for (const { name, rows } of record.objects.filter(({ kind }) => kind === 'table')) {
    const stream = record.streams.find((each) => each.name === tableStream(name))
    if (stream) tables.set(name, { content: stream.content, rows })
  }
  return tables
}

export const emptySchema: Schema = {
  version: 1,
  database: { charset: '', collation: '', comment: '' },
  tables: [],
  sequences: [],
  views: [],
  routines: [],
  triggers: [],
  events: [],
}
