import { mkdir, open } from 'node:fs/promises'
import path from 'node:path'
import type { ContentSource } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import { fileError } from '../../system/durable-file.ts'
import type { Exported } from '../service-driver.ts'
import { bytesOf, linesOf, valuesOf } from './load.ts'
import { literal, quoted } from './names.ts'
import { loadSchema, tablesOf } from './records.ts'
import { type CodeDefinition, createAs, type Schema, type TableDefinition } from './schema.ts'

const batchBytes = 262_144
const delimiter = '//git-env//'

/**
 * `<name>.sql`: what the `mariadb` client loads into an empty database. Definitions, then rows, then all that must not act on them while
 * they come: keys, triggers, views, routines, events. Text of tables is written as its own bytes, whatever its character set.
 */
export async function exportDatabase(
  record: ServiceRecord,
  source: ContentSource,
  directory: string,
): Promise<Exported[]> {
  await mkdir(directory, { recursive: true })
  if (record.presence !== 'present') return []
  const name = `${record.name}.sql`
  const file = path.join(directory, name)
  const handle = await open(file, 'wx', 0o600)
  try {
    for await (const text of statements(record, source)) await handle.writeFile(text, 'latin1')
    await handle.sync()
  } catch (error) {
    throw fileError(error, file, `write ${record.bytes} bytes`)
  } finally {
    await handle.close()
  }
  return record.streams.map((stream) => ({ stream: stream.name, path: name }))
}

/** Bytes as characters of their number. */
async function* statements(record: ServiceRecord, source: ContentSource): AsyncGenerator<string> {
  const schema = await loadSchema(source, record)
  const rows = tablesOf(record)
  yield bytesOf(`${head}\n`)
  for (const { name, create, next, round } of schema.sequences) {
    yield bytesOf(`${createAs(create, name)};\nDO SETVAL(${quoted(name)}, ${next}, 0, ${round});\n`)
  }
  for (const table of schema.tables) {
    yield bytesOf(`\n${createAs(table.create, table.name, table.autoIncrement)};\n`)
    if (table.columns.length > 0) yield* inserts(table, source.read(rows.get(table.name)!.content))
  }
  for (const { name, foreignKeys } of schema.tables) {
    for (const line of foreignKeys) yield bytesOf(`\nALTER TABLE ${quoted(name)} ADD ${line};`)
  }
  yield bytesOf(`\n\nDELIMITER ${delimiter}\n`)
  for (const definition of inOrder(schema)) yield bytesOf(defined(definition))
  yield bytesOf(`DELIMITER ;\n${foot}\n`)
}

const head = [
  'SET NAMES utf8mb4;',
  `SET @old_sql_mode = @@sql_mode, sql_mode = 'NO_AUTO_VALUE_ON_ZERO';`,
  `SET @old_time_zone = @@time_zone, time_zone = '+00:00';`,
  'SET @old_foreign_key_checks = @@foreign_key_checks, foreign_key_checks = 0;',
  'SET @old_unique_checks = @@unique_checks, unique_checks = 0;',
].join('\n')
const foot = [
  'SET sql_mode = @old_sql_mode, time_zone = @old_time_zone;',
  'SET foreign_key_checks = @old_foreign_key_checks, unique_checks = @old_unique_checks;',
].join('\n')

async function* inserts(table: TableDefinition, bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  if (table.history) yield 'SET system_versioning_insert_history = 1;\n'
  const columns = table.columns.map(({ name }) => quoted(name)).join(', ')
  const start = bytesOf(`INSERT INTO ${quoted(table.name)} (${columns}) VALUES\n`)
  let batch: string[] = []
  let length = 0
  for await (const line of linesOf(bytes)) {
    const values = valuesOf(line, table)
    batch.push(values)
    length += values.length
    if (length < batchBytes) continue
    yield `${start}${batch.join(',\n')};\n`
    batch = []
    length = 0
  }
  if (length > 0) yield `${start}${batch.join(',\n')};\n`
}

type Definition = CodeDefinition & { readonly sqlMode?: string; readonly timeZone?: string }

/** Routines before the views that ask them; a view after those it is made of, as far as its text tells. */
function inOrder(schema: Schema): Definition[] {
  const kinds = schema.routines.toSorted((a, b) => (a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : 0))
  return [...kinds, ...viewsInOrder(schema.views), ...schema.triggers, ...schema.events]
}

function viewsInOrder(views: readonly CodeDefinition[]): CodeDefinition[] {
  const ordered: CodeDefinition[] = []
  const visit = (view: CodeDefinition, path: readonly string[]) => {
    if (ordered.includes(view) || path.includes(view.name)) return
    for (const other of views) {
      if (other !== view && view.create.includes(quoted(other.name))) visit(other, [...path, view.name])
    }
    ordered.push(view)
  }
  for (const view of views) visit(view, [])
  return ordered
}

function defined({ create, charset, collation, sqlMode, timeZone }: Definition): string {
  const settings = [
    ...(sqlMode === undefined ? [] : [`sql_mode = ${literal(sqlMode)}`]),
    ...(timeZone ? [`time_zone = ${literal(timeZone)}`] : []),
    ...(charset === '' || /[^\0-\x7f]/.test(create) ? [] : [`character_set_client = ${charset}`]),
    ...(collation === '' ? [] : [`collation_connection = ${collation}`]),
  ]
  const before = settings.length > 0 ? `SET ${settings.join(', ')} ${delimiter}\n` : ''
  const after = `SET NAMES utf8mb4 ${delimiter}\nSET sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00' ${delimiter}\n`
  return `${before}${create} ${delimiter}\n${after}`
}
