import { createHash } from 'node:crypto'
import type { ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord, StreamRecord } from '../../domain/manifest.ts'
import {
  copyInStatement,
  copyOutStatement,
  displayName,
  listTables,
  type SequenceValue,
  streamName,
  type Table,
} from './catalog.ts'
import { type Definitions, decodeDefinitions } from './definitions.ts'
import type { Entry } from './entries.ts'
import { type Facts, factsOf, largeObjectsStream, schemaStream, sequencesStream, type TableFacts } from './record.ts'
import { type Session, sqlState } from './session.ts'
import { qualified, quoteText } from './sql.ts'
import { readSequences } from './store-database.ts'

/** A captured database, to be read from the store. */
export class StoredDatabase {
  readonly record: ServiceRecord
  readonly facts: Facts
  readonly #source: ContentSource
  #definitions: Promise<Definitions> | undefined

  constructor(record: ServiceRecord, source: ContentSource) {
    this.record = record
    this.facts = factsOf(record)
    this.#source = source
  }

  definitions(): Promise<Definitions> {
    this.#definitions ??= decodeDefinitions(this.bytes(this.stream(schemaStream)), this.record.name)
    return this.#definitions
  }

  sequences(): Promise<SequenceValue[]> {
    return readSequences(this.bytes(this.stream(sequencesStream)))
  }

  stream(name: string): StreamRecord {
    const stream = this.find(name)
    if (!stream) throw new EnvError('damaged', `${this.record.name}: the snapshot has no stream ${name}`)
    return stream
  }

  find(name: string): StreamRecord | undefined {
    return this.record.streams.find((each) => each.name === name)
  }

  bytes(stream: StreamRecord): AsyncIterable<Uint8Array> {
    return this.#source.read(stream.content)
  }
}

export type Loading = {
  readonly stored: StoredDatabase
  /** On the new, empty database. */
  readonly sessions: readonly Session[]
  readonly progress: (bytes: number) => void
  readonly signal: AbortSignal
}

/** What is loaded is made durable at the end. Keys of a million rows are sorted, and foreign keys of as many checked, without files in between. */
const loadSettings = `SET synchronous_commit = off; SET maintenance_work_mem = '192MB'; SET work_mem = '48MB'`

/** Fills an empty database with all that was captured; every table is read back before its indexes are made. */
export async function loadDatabase(loading: Loading): Promise<void> {
  const { stored, sessions, signal } = loading
  const first = sessions[0]!
  const definitions = await stored.definitions()
  for (const session of sessions) await session.run(loadSettings)
  for (const statement of definitions.database.without) await first.run(statement)
  await runEntries(first, definitions.before, stored.record.name)
  await loadRows(loading)
  await restoreLargeObjects(first, stored)
  const { quiet, watched } = splitAfter(definitions.after)
  await runAfter(sessions, quiet, stored.record.name, signal)
  await first.run(sequenceStatements(await stored.sequences()).join(';'))
  for (const [schema, name] of definitions.filled)
    await first.run(`REFRESH MATERIALIZED VIEW ${qualified(schema, name)}`)
  await runEntries(first, watched, stored.record.name)
}

/** All definitions, one after the other, without a row: shows whether they can be made. */
export async function makeDefinitions(session: Session, definitions: Definitions, name: string): Promise<void> {
  for (const statement of definitions.database.without) await session.run(statement)
  await runEntries(session, definitions.before, name)
  await runEntries(session, definitions.after, name)
}

/** Event triggers, and what follows them, come last: they would watch everything else being made. */
export function splitAfter(after: readonly Entry[]): {
  readonly quiet: readonly Entry[]
  readonly watched: readonly Entry[]
} {
  const first = after.findIndex((entry) => entry.type === 'EVENT TRIGGER')
  const at = first < 0 ? after.length : first
  return { quiet: after.slice(0, at), watched: after.slice(at) }
}

/** One after the other, in few exchanges. */
async function runEntries(session: Session, entries: readonly Entry[], name: string): Promise<void> {
  try {
    await session.run(entries.map((entry) => `${entry.sql}\n`).join('\n'))
  } catch (error) {
    throw await explain(error, entries, name)
  }
}

async function explain(error: unknown, entries: readonly Entry[], name: string): Promise<unknown> {
  if (!(error instanceof EnvError) || sqlState(error) === undefined) return error
  const position = Number((error.cause as { position?: string }).position ?? 0)
  let end = 0
  const entry = entries.find(({ sql }) => {
    end += sql.length + 2
    return position > 0 && position <= end
  })
  const what = entry ? ` at ${entry.type} ${entry.name}` : ''
  const role = /role "(.*)" does not exist/.exec(error.message)?.[1]
  const hint = role === undefined ? rightsHint(error) : `CREATE ROLE "${role}"`
  return new EnvError(
    error.code === 'unavailable' && role !== undefined ? 'refused' : error.code,
    `${error.message}${what}`.replace(`${name}: `, `${name}: its definitions cannot be made again: `),
    {
      cause: error.cause,
      ...(hint === undefined ? {} : { hint }),
    },
  )
}

function rightsHint(error: EnvError): string | undefined {
  return error.code === 'refused'
    ? 'run git env with a user of the database server who may do that, or grant it to this one'
    : undefined
}

async function loadRows(loading: Loading): Promise<void> {
  const { stored, sessions, signal } = loading
  const facts = new Map(stored.facts.tables.map((table) => [displayName(table), table]))
  const tables = await listTables(sessions[0]!)
  const missing = stored.facts.tables.find((table) => !tables.some((each) => displayName(each) === displayName(table)))
  if (missing)
    throw new EnvError(
      'damaged',
      `${stored.record.name}: the snapshot's definitions do not make ${displayName(missing)}`,
    )
  const size = (table: Table) => stored.find(streamName(table))?.content.bytes ?? 0
  const queue = tables.filter((table) => facts.has(displayName(table))).toSorted((a, b) => size(b) - size(a))
  await inParallel(sessions, queue, signal, (session, table) =>
    loadTable(loading, session, table, facts.get(displayName(table))!),
  )
}

async function loadTable(
  { stored, progress }: Loading,
  session: Session,
  table: Table,
  facts: TableFacts,
): Promise<void> {
  const stream = stored.stream(streamName(table))
  const target = qualified(table.schema, table.name)
  const bytes = counted(stored.bytes(stream), progress)
  const encoding = stored.facts.encoding
  let rows: number
  if (table.condition !== '') rows = await session.copyIn(copyInStatement(target, facts.columns, encoding), bytes)
  else {
    // Rows of a table that is emptied in the same transaction need not be looked at again by the first reader.
    await session.run(`BEGIN; TRUNCATE ONLY ${target}`)
    rows = await session.copyIn(copyInStatement(target, facts.columns, encoding, ', FREEZE'), bytes)
    await session.run('COMMIT')
  }
  const read = createHash('sha256')
  for await (const part of session.copyOut(
    copyOutStatement({ ...table, columns: facts.columns }, encoding, 'as it lies'),
  ))
    read.update(part)
  if (rows !== facts.rows || read.digest('hex') !== stream.content.sha256) {
    throw new EnvError(
      'damaged',
      `${stored.record.name}: ${displayName(table)} is not in the database as it was stored`,
    )
  }
}

async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  progress: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const part of bytes) {
    yield part
    progress(part.length)
  }
}

/** The objects themselves are among the definitions; here they get their bytes. */
async function restoreLargeObjects(session: Session, stored: StoredDatabase): Promise<void> {
  const stream = stored.find(largeObjectsStream)
  if (!stream) return
  await session.run('BEGIN; CREATE TEMPORARY TABLE git_env_pages (oid oid, at bigint, bytes bytea) ON COMMIT DROP')
  await session.copyIn('COPY pg_temp.git_env_pages FROM STDIN', stored.bytes(stream))
  await session.run('SELECT count(lo_put(oid, at, bytes)) FROM pg_temp.git_env_pages; COMMIT')
}

/** Indexes and keys are made on all connections at once, and so are foreign keys; everything else in its order. */
async function runAfter(
  sessions: readonly Session[],
  entries: readonly Entry[],
  name: string,
  signal: AbortSignal,
): Promise<void> {
  let rest = entries
  while (rest.length > 0) {
    const kind = parallelKind(rest[0]!)
    const end = rest.findIndex(
      (entry) => parallelKind(entry) !== kind && !(kind !== undefined && entry.type === 'COMMENT'),
    )
    const run = end < 0 ? rest : rest.slice(0, end)
    const last = kind === undefined ? run : run.filter((entry) => entry.type === 'COMMENT')
    const first = kind === undefined ? [] : run.filter((entry) => entry.type !== 'COMMENT')
    await inParallel(sessions, first, signal, (session, entry) => runAgain(session, entry, name))
    await runEntries(sessions[0]!, last, name)
    rest = rest.slice(run.length)
  }
}

function parallelKind({ type }: Entry): string | undefined {
  return type === 'CONSTRAINT' || type === 'INDEX' ? 'index' : type === 'FK CONSTRAINT' ? 'foreign key' : undefined
}

/** Foreign keys between the same tables may get in each other's way. */
async function runAgain(session: Session, entry: Entry, name: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await runEntries(session, [entry], name)
    } catch (error) {
      if (sqlState(error) !== '40P01' || attempt > 5) throw error
    }
  }
}

/** Each session takes the next job; the first failure ends all, and is thrown when none is at work any more. */
async function inParallel<T>(
  sessions: readonly Session[],
  jobs: readonly T[],
  signal: AbortSignal,
  work: (session: Session, job: T) => Promise<void>,
): Promise<void> {
  const queue = [...jobs]
  const results = await Promise.allSettled(
    sessions.map(async (session) => {
      for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
        signal.throwIfAborted()
        try {
          await work(session, job)
        } catch (error) {
          queue.length = 0
          throw error
        }
      }
    }),
  )
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}

export function sequenceStatements(values: readonly SequenceValue[]): string[] {
  return values.map(
    ([schema, name, last, called]) =>
      `SELECT pg_catalog.setval(${quoteText(qualified(schema, name))}, ${last}, ${called})`,
  )
}
