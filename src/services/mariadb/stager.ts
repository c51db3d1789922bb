import { createHash } from 'node:crypto'
import type { ContentSource } from '../../domain/content.ts'
import { EnvError, messageOf } from '../../domain/errors.ts'
import { type Database, openSession, openSessions } from './database.ts'
import { insertRows, loadRows, readyToLoad } from './load.ts'
import { quoted, stagedName } from './names.ts'
import { readTables } from './read-schema.ts'
import { createAs, type TableDefinition, withoutSequences } from './schema.ts'
import { mayLoadInBulk, type ServerFacts } from './server.ts'
import { isServerError, type Session } from './session.ts'
import { plainResults, storeRows, type TableContent } from './table-rows.ts'

const loaders = 2

export type StagingTable = {
  readonly definition: TableDefinition
  readonly number: number
  readonly target: TableContent
}

export type StagerOptions = {
  readonly database: Database
  readonly facts: ServerFacts
  readonly id: string
  readonly source: ContentSource
  readonly progress: (bytes: number) => void
  /** The snapshot is of this very version: definitions must come back to the letter. */
  readonly exact: boolean
}

/** Puts tables beside the live ones, reads each back, and compares it with the snapshot. Several at once, large ones first. */
export async function stageTables(options: StagerOptions, tables: readonly StagingTable[]): Promise<void> {
  const queue = tables.toSorted((a, b) => b.target.content.bytes - a.target.content.bytes)
  const count = Math.min(loaders, queue.length)
  const results = await Promise.allSettled(Array.from({ length: count }, () => stageSome(options, queue)))
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw translate(options, failed.reason)
}

async function stageSome(options: StagerOptions, queue: StagingTable[]): Promise<void> {
  const { database, facts } = options
  const [session] = (await openSessions(database, 1)) as [Session]
  const bytes = facts.localInfile ? undefined : await openSession(database, true)
  try {
    for (const each of [session, bytes]) {
      await each?.use(database.name)
      if (each) await readyToLoad(each, mayLoadInBulk(facts))
    }
    await session.execute(plainResults)
    for (let table = queue.shift(); table; table = queue.shift()) await stageTable(options, session, bytes, table)
  } catch (error) {
    queue.length = 0
    throw error
  } finally {
    await session.close()
    await bytes?.close()
  }
}

async function stageTable(
  options: StagerOptions,
  session: Session,
  bytes: Session | undefined,
  { definition, number, target }: StagingTable,
): Promise<void> {
  const actual = stagedName(options.id, number)
  await session.execute(`DROP TABLE IF EXISTS ${quoted(actual)}`)
  await session.execute(createAs(withoutSequences(definition.create), actual, definition.autoIncrement))
  if (definition.columns.length > 0) {
    const rows = watched(options.source.read(target.content), options.progress)
    await withoutStatistics(options, session, definition, actual, async () => {
      if (bytes) await insertRows(bytes, definition, actual, rows, options.facts)
      else await loadRows(session, definition, actual, rows)
    })
  }
  const found = await digestOf(session, definition, actual)
  if (found.sha256 !== target.content.sha256 || found.rows !== target.rows) {
    throw new EnvError(
      'damaged',
      `${options.database.context.name}: ${definition.name} came back with ${found.rows} rows that are not those of the snapshot (${target.rows})`,
      { hint: 'nothing was changed' },
    )
  }
  await compareDefinition(options, session, definition, actual)
}

/**
 * MariaDB begins to gather a table's statistics again while it is being filled, finds that it did so a moment ago, and asks itself whether it may by now
 * without a pause for ten seconds: one core is busy with that through the whole load. So they are gathered once, at the end.
 */
async function withoutStatistics(
  { facts }: StagerOptions,
  session: Session,
  { create, engine, history }: TableDefinition,
  actual: string,
  fill: () => Promise<void>,
): Promise<void> {
  const mayWait = facts.product === 'MariaDB' && engine === 'InnoDB' && !history && !/STATS_AUTO_RECALC/i.test(create)
  const table = quoted(actual)
  if (mayWait) await session.execute(`ALTER TABLE ${table} STATS_AUTO_RECALC = 0`)
  await fill()
  if (!mayWait) return
  await session.execute(`ANALYZE TABLE ${table}`)
  await session.execute(`ALTER TABLE ${table} STATS_AUTO_RECALC = DEFAULT`)
}

async function compareDefinition(
  { database, facts, exact }: StagerOptions,
  session: Session,
  definition: TableDefinition,
  actual: string,
): Promise<void> {
  if (!exact) return
  await session.execute('SET SESSION character_set_results = utf8mb4')
  const [made] = await readTables(session, facts, database.name, [{ actual, name: definition.name }])
  await session.execute(plainResults)
  if (made!.create === withoutSequences(definition.create)) return
  throw new EnvError(
    'damaged',
    `${database.context.name}: ${definition.name} came back with another definition than in the snapshot`,
    { hint: 'nothing was changed', details: { wanted: definition.create, found: made!.create } },
  )
}

/** Rows and SHA-256 of the stream that a table gives now. */
export async function digestOf(
  session: Session,
  definition: TableDefinition,
  actual: string,
): Promise<{ rows: number; sha256: string }> {
  const sum = createHash('sha256')
  const sink = {
    async write(_profile: string, bytes: AsyncIterable<Uint8Array> | Uint8Array) {
      let length = 0
      for await (const part of bytes instanceof Uint8Array ? [bytes] : bytes) {
        sum.update(part)
        length += part.length
      }
      return { bytes: length, sha256: sum.digest('hex'), chunks: [] }
    },
  }
  const { content, rows } = await storeRows(session, definition, actual, sink, () => {})
  return { rows, sha256: content.sha256 }
}

async function* watched(
  bytes: AsyncIterable<Uint8Array>,
  progress: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const part of bytes) {
    yield part
    progress(part.length)
  }
}

/** Missing rights and a full disk are said with what mends them. */
export function translate({ database, facts }: Pick<StagerOptions, 'database' | 'facts'>, error: unknown): unknown {
  const { name, context } = database
  if (isServerError(error, 1044, 1142, 1143, 1227, 1370, 1419)) {
    return new EnvError('refused', `${context.name}: a right is missing: ${messageOf(error)}`, {
      cause: error,
      hint: isServerError(error, 1419)
        ? 'SET GLOBAL log_bin_trust_function_creators = 1'
        : isServerError(error, 1227)
          ? `what others have defined (DEFINER) needs: GRANT SET USER ON *.* TO ${accountOf(facts.user)}`
          : `GRANT ALL PRIVILEGES ON ${quoted(name.replaceAll(/([\\_%])/g, '\\$1'))}.* TO ${accountOf(facts.user)}`,
    })
  }
  if (isServerError(error, 1205, 1213)) {
    return new EnvError(
      'busy',
      `${context.name}: other connections did not let go of a table in time: ${messageOf(error)}`,
      {
        cause: error,
        hint: 'SHOW FULL PROCESSLIST shows who; run the command again when that is done',
      },
    )
  }
  if (isServerError(error, 1021, 1114, 3, 28) || /errno: 28\b|No space left/i.test(messageOf(error))) {
    return new EnvError(
      'unavailable',
      `${context.name}: the server has no room for what is restored: ${messageOf(error)}`,
      {
        cause: error,
        hint: 'make room on the disk of its data folder; nothing was changed',
      },
    )
  }
  return error
}

/** `app@localhost` → `'app'@'localhost'`. */
export function accountOf(user: string): string {
  const at = user.lastIndexOf('@')
  return `'${user.slice(0, at)}'@'${user.slice(at + 1)}'`
}
