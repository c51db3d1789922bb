import { createReadStream } from 'node:fs'
import path from 'node:path'
import type { Json } from '../../domain/canonical-json.ts'
import type { ContentSink } from '../../domain/content.ts'
import type { Level, ObjectRecord, ServiceRecord, StreamRecord } from '../../domain/manifest.ts'
import type { DatabaseDigest } from './digest.ts'
import type { Piece } from './pieces.ts'

const readBytes = 262_144

export type RecordBase = { readonly name: string; readonly level: Level }

/** A whole database's one stream. */
export const databaseStream = 'database'

function empty({ name, level }: RecordBase): ServiceRecord {
  return {
    name,
    kind: 'service',
    type: 'sqlite',
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

export function absentRecord(base: RecordBase): ServiceRecord {
  return empty(base)
}

export function presentRecord(
  base: RecordBase,
  stream: StreamRecord,
  digest: DatabaseDigest | undefined,
  facts: Readonly<Record<string, Json>>,
): ServiceRecord {
  return {
    ...empty(base),
    presence: 'present',
    bytes: stream.content.bytes,
    streams: [stream],
    objects: digest ? objectsOf(digest) : [],
    versions: { sqlite: String(process.versions['sqlite']) },
    facts: { ...(digest ? factsOf(digest) : {}), ...facts },
  }
}

/** Kept as the raw files that there are, under their suffixes, with what a file system says of them. */
export async function damagedRecord(
  base: RecordBase,
  sink: ContentSink,
  directory: string,
  pieces: readonly Piece[],
  reason: string,
  progress: (bytes: number) => void,
): Promise<ServiceRecord> {
  const streams: StreamRecord[] = []
  for (const { suffix } of pieces) {
    const file = path.join(directory, `file${suffix}`)
    streams.push({ name: `file${suffix}`, kind: 'bytes', content: await sink.write('pages', readFile(file, progress)) })
  }
  streams.sort((a, b) => (a.name < b.name ? -1 : 1))
  return {
    ...empty(base),
    presence: 'damaged',
    bytes: pieces.reduce((sum, piece) => sum + piece.bytes, 0),
    streams,
    facts: {
      reason,
      pieces: pieces.map(({ suffix, mode, uid, gid, mtimeNs }) => ({ suffix, mode, uid, gid, mtimeNs })),
    },
  }
}

export async function storeDatabase(
  sink: ContentSink,
  file: string,
  progress: (bytes: number) => void,
): Promise<StreamRecord> {
  return { name: databaseStream, kind: 'bytes', content: await sink.write('pages', readFile(file, progress)) }
}

async function* readFile(file: string, progress: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const part of createReadStream(file, { highWaterMark: readBytes })) {
    yield part
    progress(part.length)
  }
}

function objectsOf(digest: DatabaseDigest): ObjectRecord[] {
  const { entries, digest: schema } = digest.schema
  return [
    ...digest.tables.map((table) => ({ ...table, kind: 'table' })),
    ...digest.virtual.map((table) => ({ ...table, kind: 'virtual table' })),
    { name: 'sqlite_schema', kind: 'schema', rows: entries, digest: schema },
  ].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function factsOf({
  journalMode,
  pageSize,
  encoding,
  userVersion,
  applicationId,
}: DatabaseDigest): Record<string, Json> {
  return { journalMode, pageSize, encoding, userVersion, applicationId }
}
