import type { Json } from '../../domain/canonical-json.ts'
import type { Level, ObjectRecord, ServiceRecord, StreamRecord } from '../../domain/manifest.ts'
import { displayName, streamName } from './catalog.ts'
import type { DefinitionMark } from './definition-mark.ts'
import type { Dumper } from './programs.ts'

export const schemaStream = 'schema'
export const sequencesStream = 'sequences'
export const largeObjectsStream = 'largeobjects'

/** What the driver keeps of a capture besides its streams. */
export type Facts = {
  readonly rung: string
  readonly encoding: string
  readonly major: number
  readonly lsn: string
  /** Which transactions the capture sees. */
  readonly view: string
  readonly databaseOid: number
  readonly tables: readonly TableFacts[]
  readonly unsupported: readonly string[]
  /** Tells, with `view`, whether definitions were changed since. */
  readonly mark: DefinitionMark
}

export type TableFacts = {
  readonly schema: string
  readonly name: string
  readonly oid: number
  readonly rows: number
  readonly columns: readonly string[]
  readonly key: readonly string[]
}

export function factsOf(record: ServiceRecord): Facts {
  return record.facts as unknown as Facts
}

export function absentRecord(name: string, level: Level): ServiceRecord {
  return { ...base(name, level), presence: 'absent', bytes: 0, streams: [], objects: [], versions: {}, facts: {} }
}

function base(name: string, level: Level) {
  return { name, kind: 'service' as const, type: 'postgres', level, live: [], files: 0 }
}

export function presentRecord(
  name: string,
  level: Level,
  parts: {
    readonly streams: readonly StreamRecord[]
    readonly facts: Facts
    readonly versions: Readonly<Record<string, string>>
  },
): ServiceRecord {
  const byStream = new Map(parts.streams.map((stream) => [stream.name, stream]))
  const objects = parts.facts.tables.map((table): ObjectRecord => {
    const content = byStream.get(streamName(table))!.content
    return { name: displayName(table), kind: 'table', rows: table.rows, digest: content.sha256 }
  })
  objects.push({ name: schemaStream, kind: 'schema', rows: 0, digest: byStream.get(schemaStream)!.content.sha256 })
  return {
    ...base(name, level),
    presence: 'present',
    bytes: parts.streams.reduce((sum, { content }) => sum + content.bytes, 0),
    streams: parts.streams.toSorted(byCodeUnits),
    objects: objects.toSorted(byCodeUnits),
    versions: parts.versions,
    facts: parts.facts as unknown as Readonly<Record<string, Json>>,
  }
}

function byCodeUnits(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}

export function versionsOf(server: string, dumper: Dumper): Record<string, string> {
  return { postgresql: server, pg_dump: dumper.version }
}
