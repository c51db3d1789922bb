import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { ContentSource } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Exported } from '../service-driver.ts'
import { copyInStatement, streamName } from './catalog.ts'
import type { Entry } from './entries.ts'
import { StoredDatabase, sequenceStatements, splitAfter } from './load.ts'
import { largeObjectsStream } from './record.ts'
import { qualified } from './sql.ts'

/** `<name>.sql`, which psql loads into an empty database: definitions, rows, then indexes, keys and triggers. */
export async function exportDatabase(
  record: ServiceRecord,
  source: ContentSource,
  directory: string,
): Promise<Exported[]> {
  await mkdir(directory, { recursive: true })
  if (record.presence !== 'present') return []
  const file = `${record.name}.sql`
  await pipeline(
    script(new StoredDatabase(record, source)),
    createWriteStream(path.join(directory, file), { flags: 'wx', mode: 0o600 }),
  )
  return record.streams.map((stream) => ({ stream: stream.name, path: file }))
}

async function* script(stored: StoredDatabase): AsyncGenerator<Uint8Array | string> {
  const { facts } = stored
  const definitions = await stored.definitions()
  const { database } = definitions
  yield `-- A database of PostgreSQL ${facts.major}, encoding ${database.encoding}, collation ${database.collate}. Load it into an empty one:
--   psql -X -v ON_ERROR_STOP=1 -d <database> -f <this file>
\\set QUIET on
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET check_function_bodies = off;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET lc_monetary = 'C';
SELECT pg_catalog.set_config('search_path', '', false) \\g /dev/null
`
  for (const statement of database.without) yield `${statement};\n`
  yield* texts(definitions.before)
  for (const table of facts.tables) {
    const statement = copyInStatement(qualified(table.schema, table.name), table.columns, facts.encoding)
    yield `\n${statement.replace('FROM STDIN', 'FROM stdin')};\n`
    yield* stored.bytes(stored.stream(streamName(table)))
    yield '\\.\n'
  }
  yield* largeObjects(stored)
  const { quiet, watched } = splitAfter(definitions.after)
  yield* texts(quiet)
  for (const statement of sequenceStatements(await stored.sequences())) yield `${statement} \\g /dev/null\n`
  for (const [schema, name] of definitions.filled) yield `REFRESH MATERIALIZED VIEW ${qualified(schema, name)};\n`
  yield* texts(watched)
}

function* texts(entries: readonly Entry[]): Generator<string> {
  for (const { sql } of entries) yield `\n${sql}\n`
}

async function* largeObjects(stored: StoredDatabase): AsyncGenerator<Uint8Array | string> {
  const stream = stored.find(largeObjectsStream)
  if (!stream) return
  yield '\nCREATE TEMPORARY TABLE git_env_pages (oid oid, at bigint, bytes bytea);\nCOPY pg_temp.git_env_pages FROM stdin;\n'
  yield* stored.bytes(stream)
  yield '\\.\nSELECT count(pg_catalog.lo_put(oid, at, bytes)) FROM pg_temp.git_env_pages \\g /dev/null\nDROP TABLE pg_temp.git_env_pages;\n'
}
