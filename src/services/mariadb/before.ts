import type { ContentSink } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import { asideName } from './names.ts'
import { readTables } from './read-schema.ts'
import { absentRecord, presentRecord, storeSchema, tablesOf } from './records.ts'
import type { Schema, TableDefinition } from './schema.ts'
import type { ServerFacts } from './server.ts'
import { isServerError, type Session } from './session.ts'
import type { StagedDatabase } from './staged.ts'
import { plainResults, storeRows, type TableContent } from './table-rows.ts'

export type BeforeOptions = {
  readonly name: string
  readonly database: string
  readonly session: Session
  /** Sees the tables that took no part as they were at the swap; undefined after a crash: then as they are. */
  readonly snapshot: Session | undefined
  readonly facts: ServerFacts
  readonly staged: StagedDatabase
  /** The definitions that the last capture found. */
  readonly before: Schema
  readonly sink: ContentSink
  readonly safety: ServiceRecord
  /** Tables that took no part and may have been written to since the safety snapshot. */
  readonly written: readonly string[]
}

/**
 * The database as it was at the moment of the swap: what was set aside, from there; what stayed, from the safety snapshot, since it was
 * seen inside the hold that nobody had written to it.
 */
export async function recordBefore(options: BeforeOptions): Promise<ServiceRecord> {
  const { session, facts, staged, before, sink, safety, database, name } = options
  if (safety.presence === 'absent' && before.tables.length === 0) return absentRecord({ name, level: safety.level })
  const stored = tablesOf(safety)
  const tables = new Map<string, TableContent>()
  const definitions: TableDefinition[] = []
  const places = staged.parts.flatMap(({ goes, name: table, number }) =>
    goes ? [{ actual: asideName(staged.id, number), name: table }] : [],
  )
  const aside = await readTables(session, facts, database, places)
  await session.execute(plainResults)
  for (const { actual, name: table } of places) {
    const found = aside.find((each) => each.name === table)!
    const foreignKeys = before.tables.find((each) => each.name === table)?.foreignKeys ?? []
    definitions.push({ ...found, foreignKeys })
    tables.set(table, await storeRows(session, found, actual, sink, () => {}))
  }
  for (const definition of before.tables) {
    if (tables.has(definition.name)) continue
    definitions.push(definition)
    const kept = options.written.includes(definition.name) ? undefined : stored.get(definition.name)
    tables.set(definition.name, kept ?? (await readStayed(options, definition)))
  }
  await session.execute('SET SESSION character_set_results = utf8mb4')
  const schema = {
    ...before,
    tables: definitions.sort((a, b) => (a.name < b.name ? -1 : 1)),
  }
  const base = { name, level: safety.level, live: safety.live }
  return presentRecord(base, await storeSchema(sink, schema), tables, safety.versions, safety.facts)
}

async function readStayed(
  { snapshot, session, sink }: BeforeOptions,
  definition: TableDefinition,
): Promise<TableContent> {
  try {
    return await storeRows(snapshot ?? session, definition, definition.name, sink, () => {})
  } catch (error) {
    if (!snapshot || !isServerError(error, 1412)) throw error
    return storeRows(session, definition, definition.name, sink, () => {})
  }
}
