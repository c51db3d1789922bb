import { canonicalJson } from '../../domain/canonical-json.ts'
import type { Content, ContentSink } from '../../domain/content.ts'
import type { Level, ServiceRecord, StreamRecord } from '../../domain/manifest.ts'
import type { Point } from './capture.ts'
import { copyOutStatement, largeObjectsQuery, type SequenceValue, streamName, type Table } from './catalog.ts'
import { definitionMark } from './definition-mark.ts'
import { describeDatabase, dumpEntries, encodeDefinitions } from './definitions.ts'
import type { Link, ServerFacts } from './link.ts'
import type { Dumper } from './programs.ts'
import { type Facts, largeObjectsStream, presentRecord, schemaStream, sequencesStream, versionsOf } from './record.ts'
import type { Session } from './session.ts'
import { unsupportedIn } from './unsupported.ts'

export type Storing = {
  readonly link: Link
  readonly name: string
  /** All in the view of the point. */
  readonly readers: readonly Session[]
  readonly facts: ServerFacts
  readonly dumper: Dumper
  readonly tables: readonly Table[]
  readonly point: Point
  readonly level: Level
  readonly rung: string
  readonly sink: ContentSink
  readonly progress: (bytes: number) => void
  readonly signal: AbortSignal
  /** Gives a table's content where it is known to be what was stored before: it is not read then. */
  readonly known?: (table: Table) => { readonly content: Content; readonly rows: number } | undefined
}

/** Writes all streams of a database, the largest tables first, over all readers at once. */
export async function storeDatabase(storing: Storing): Promise<ServiceRecord> {
  const { link, readers, facts, dumper, point, sink, tables, signal } = storing
  const contents = new Map<string, { content: Content; rows: number }>()
  const queue = tables.toSorted((a, b) => b.bytes - a.bytes)
  const drain = async (reader: Session) => {
    for (let table = queue.shift(); table; table = queue.shift()) {
      signal.throwIfAborted()
      contents.set(streamName(table), storing.known?.(table) ?? (await storeTable(storing, reader, table)))
    }
  }
  const first = readers[0]!
  const large = await storeLargeObjects(storing, first)
  const unsupported = await unsupportedIn(first)
  const described = await describeDatabase(first, facts.major)
  const dumped = dumpEntries(link, { session: first, major: facts.major, dumper, snapshot: point.snapshot, signal })
  dumped.catch(() => {})
  await Promise.all(readers.map(drain))
  const schema = await sink.write('rows', encodeDefinitions({ ...described, ...(await dumped) }))
  const sequences = await storeSequences(sink, point.sequences)
  const streams: StreamRecord[] = [
    { name: schemaStream, kind: 'bytes', content: schema },
    { name: sequencesStream, kind: 'bytes', content: sequences },
    ...(large ? [{ name: largeObjectsStream, kind: 'bytes' as const, content: large }] : []),
    ...[...contents].map(([name, { content }]) => ({ name, kind: 'bytes' as const, content })),
  ]
  const record: Facts = {
    rung: storing.rung,
    encoding: facts.encoding,
    major: facts.major,
    lsn: point.lsn,
    view: point.view,
    databaseOid: facts.databaseOid,
    tables: tables.map((table) => {
      const { schema, name, oid, columns, key } = table
      return { schema, name, oid, rows: contents.get(streamName(table))!.rows, columns, key }
    }),
    mark: (await definitionMark(first)).counts,
    unsupported,
  }
  return presentRecord(storing.name, storing.level, {
    streams,
    facts: record,
    versions: versionsOf(facts.version, dumper),
  })
}

async function storeTable(
  { facts, sink, progress }: Storing,
  reader: Session,
  table: Table,
): Promise<{ content: Content; rows: number }> {
  let rows = 0
  const copy = reader.copyOut(copyOutStatement(table, facts.encoding))
  const content = await sink.write('rows', counting())
  return { content, rows }

  async function* counting(): AsyncGenerator<Uint8Array> {
    for (let next = await copy.next(); ; next = await copy.next()) {
      if (next.done) {
        rows = next.value
        return
      }
      progress(next.value.length)
      yield next.value
    }
  }
}

async function storeLargeObjects({ sink, progress }: Storing, reader: Session): Promise<Content | undefined> {
  const { any } = await reader.one('SELECT EXISTS (SELECT FROM pg_largeobject_metadata) AS any')
  if (any !== 't') return undefined
  return sink.write('rows', tell(reader.copyOut(`COPY (${largeObjectsQuery}) TO STDOUT`), progress))
}

async function* tell(bytes: AsyncIterable<Uint8Array>, progress: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const part of bytes) {
    progress(part.length)
    yield part
  }
}

/** One line for each sequence, in the order of their names. */
export function storeSequences(sink: ContentSink, values: readonly SequenceValue[]): Promise<Content> {
  return sink.write('rows', Buffer.from(values.map((value) => `${canonicalJson(value)}\n`).join('')))
}

export async function readSequences(bytes: AsyncIterable<Uint8Array>): Promise<SequenceValue[]> {
  const parts: Uint8Array[] = []
  for await (const part of bytes) parts.push(part)
  const lines = Buffer.concat(parts).toString('utf8').split('\n').filter(Boolean)
  return lines.map((line) => JSON.parse(line) as SequenceValue)
}
