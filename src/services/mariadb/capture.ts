import type { Json } from '../../domain/canonical-json.ts'
import { canonicalJson } from '../../domain/canonical-json.ts'
import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Capture, CaptureOptions } from '../service-driver.ts'
import { busyBecause, NotInTime, withinLimit } from './attempt.ts'
import { type Database, findDatabase, openSessions, placeOf } from './database.ts'
import { type Evidence, readEvidence } from './evidence.ts'
import { quoted } from './names.ts'
import { readCounters, readSchema } from './read-schema.ts'
import { absentRecord, presentRecord, storeSchema } from './records.ts'
import { isTransactional, keepsRows, type Schema, type SequenceDefinition, type TableDefinition } from './schema.ts'
import type { ServerFacts } from './server.ts'
import { ServerHold } from './server-hold.ts'
import { isServerError, type Session } from './session.ts'
import { plainResults, storeRows, type TableContent } from './table-rows.ts'

const readers = 2
/** Definition changed, table gone, table rebuilt: somebody altered it after the point. */
const altered = [1412, 1146, 1356, 1054]

/** Prepares a capture: connects, reads the definitions ahead, and makes everything ready that the hold would have to wait for. */
export async function openCapture(database: Database, sink: ContentSink, options: CaptureOptions): Promise<Capture> {
  const { session, facts, state } = await findDatabase(database)
  if (state !== 'there') {
    await session.close()
    return new AbsentCapture(database)
  }
  const capture = new DatabaseCapture(database, sink, options, session, facts)
  try {
    await capture.prepare()
    return capture
  } catch (error) {
    await capture.close()
    throw error
  }
}

class AbsentCapture implements Capture {
  readonly #database: Database
  #held = false
  #level: 'frozen' | 'point' = 'point'

  constructor(database: Database) {
    this.#database = database
  }

  async hold(): Promise<void> {
    this.#held = true
  }

  async point(): Promise<void> {
    this.#level = this.#held ? 'frozen' : 'point'
  }

  async release(): Promise<void> {
    this.#held = false
  }

  async copy(): Promise<ServiceRecord> {
    return absentRecord({ name: this.#database.context.name, level: this.#level })
  }

  async close(): Promise<void> {}
}

class DatabaseCapture implements Capture {
  readonly #database: Database
  readonly #sink: ContentSink
  readonly #options: CaptureOptions
  readonly #session: Session
  readonly #facts: ServerFacts
  #readers: readonly Session[] = []
  /** Holds what has no consistent reads, until that is read. */
  #keeper: Session | undefined
  #locker: Session | undefined
  #serverHold: ServerHold | undefined
  #schema: Schema | undefined
  #evidence: Evidence | undefined
  #counters: readonly SequenceDefinition[] = []
  /** The definitions were read while nobody could change them. */
  #sureOfSchema = false
  #held = false
  #frozen = false

  constructor(database: Database, sink: ContentSink, options: CaptureOptions, session: Session, facts: ServerFacts) {
    this.#database = database
    this.#sink = sink
    this.#options = options
    this.#session = session
    this.#facts = facts
  }

  async prepare(): Promise<void> {
    const { name, endpoint, context } = this.#database
    let tableLocks = !this.#options.live && this.#facts.rung === 'table locks'
    if (!this.#options.live && (this.#facts.rung === 'stage' || this.#facts.rung === 'global lock')) {
      try {
        this.#serverHold = await ServerHold.join(endpoint, this.#facts, context.signal)
      } catch (error) {
        // Another backup of the server is at work, maybe for hours: locks on our own tables do not meet it.
        if (!(error instanceof NotInTime)) throw error
        tableLocks = true
      }
    }
    this.#evidence = await readEvidence(this.#session, this.#facts, name)
    this.#schema = await readSchema(this.#session, this.#facts, name)
    this.#sureOfSchema = this.#serverHold?.keepsDefinitions ?? false
    const more = [tableLocks, this.#unsteady.length > 0 && this.#mayLock].filter(Boolean).length
    const count = (this.#serverHold || tableLocks ? readers : 1) + more
    const sessions = await openSessions(this.#database, count)
    if (tableLocks) this.#locker = sessions.pop()
    if (this.#unsteady.length > 0 && this.#mayLock) this.#keeper = sessions.pop()
    this.#readers = sessions
    for (const session of [...sessions, this.#keeper, this.#locker]) {
      await session?.use(name)
      await session?.execute(plainResults)
      await session?.execute('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ')
    }
  }

  async hold(limitMs: number): Promise<void> {
    if (this.#held || this.#options.live) return
    const start = performance.now()
    if (this.#keeper) await this.#lock(this.#keeper, this.#unsteady, limitMs)
    const left = Math.max(1, limitMs - (performance.now() - start))
    if (this.#serverHold) {
      this.#sureOfSchema &&= this.#serverHold.keepsDefinitions
      await this.#serverHold.hold(left, placeOf(this.#database))
    }
    if (this.#locker) await this.#lock(this.#locker, this.#steady, left)
    this.#held = this.#serverHold !== undefined || this.#locker !== undefined
  }

  async #lock(session: Session, tables: readonly TableDefinition[], limitMs: number): Promise<void> {
    if (tables.length === 0) return
    const list = tables.map(({ name }) => `${quoted(name)} READ`).join(', ')
    try {
      await withinLimit(session, this.#session, limitMs, `LOCK TABLES ${list}`)
    } catch (error) {
      if (isServerError(error, ...altered)) throw this.#altered()
      if (!(error instanceof NotInTime)) throw error
      throw await busyBecause(this.#session, placeOf(this.#database), 'hold the writers', this.#ours)
    }
  }

  async point(): Promise<void> {
    this.#frozen = this.#held
    if (!this.#frozen) this.#readers = await keepOne(this.#readers)
    await Promise.all(this.#readers.map((reader) => reader.execute('START TRANSACTION WITH CONSISTENT SNAPSHOT')))
    // Counters of sequences follow no transaction.
    this.#counters = await readCounters(this.#readers[0]!, this.#schema!.sequences)
  }

  async release(): Promise<void> {
    this.#held = false
    await this.#serverHold?.release()
    await this.#locker?.execute('UNLOCK TABLES')
    // Before the point all let go; after it, what has no consistent reads waits until it is read.
    if (!this.#frozen) await this.#keeper?.execute('UNLOCK TABLES')
  }

  async copy(): Promise<ServiceRecord> {
    if (!this.#sureOfSchema) await this.#checkSchema()
    const schema = { ...this.#schema!, sequences: this.#counters }
    const binlog = await this.#position()
    const tables = new Map<string, TableContent>()
    const kept = this.#keeper && this.#frozen ? this.#unsteady : []
    const queue = [...schema.tables.filter((table) => !kept.includes(table))].sort(
      (a, b) => this.#sizeOf(b.name) - this.#sizeOf(a.name) || (a.name < b.name ? -1 : 1),
    )
    const work = this.#readers.map((reader) => this.#readAll(reader, queue, tables))
    if (kept.length > 0) work.push(this.#readKept([...kept], tables))
    const results = await Promise.allSettled(work)
    const failed = results.find((result) => result.status === 'rejected')
    if (failed) throw isServerError(failed.reason, ...altered) ? this.#altered() : failed.reason
    const live = kept.length > 0 ? [] : this.#unsteady.map(({ name }) => name)
    const level = live.length > 0 ? ('live' as const) : this.#frozen ? ('frozen' as const) : ('point' as const)
    const base = { name: this.#database.context.name, level, live }
    const facts = this.#recordFacts(binlog)
    return presentRecord(base, await storeSchema(this.#sink, schema), tables, versionsOf(this.#facts), facts)
  }

  async close(): Promise<void> {
    const hold = this.#serverHold
    this.#serverHold = undefined
    await hold?.release()
    await hold?.leave()
    for (const session of [...this.#readers, this.#keeper, this.#locker]) session?.destroy()
    await this.#session.close()
  }

  /** The reader's transaction lets go of each table after it: nobody who alters one waits for the rest. */
  async #readAll(reader: Session, queue: TableDefinition[], tables: Map<string, TableContent>): Promise<void> {
    for (let table = queue.shift(); table; table = queue.shift()) {
      await reader.execute('SAVEPOINT one')
      tables.set(table.name, await storeRows(reader, table, table.name, this.#sink, this.#options.progress))
      await reader.execute('ROLLBACK TO SAVEPOINT one')
    }
    await reader.execute('ROLLBACK')
  }

  async #readKept(queue: TableDefinition[], tables: Map<string, TableContent>): Promise<void> {
    for (const table of queue) {
      tables.set(table.name, await storeRows(this.#keeper!, table, table.name, this.#sink, this.#options.progress))
    }
    await this.#keeper!.execute('UNLOCK TABLES')
  }

  /** Definitions were read ahead of the point: they must still be the same. */
  async #checkSchema(): Promise<void> {
    const now = await readSchema(this.#session, this.#facts, this.#database.name).catch((error) => {
      throw isServerError(error, ...altered) ? this.#altered() : error
    })
    if (definitions(now) !== definitions(this.#schema!)) throw this.#altered()
  }

  #altered(): EnvError {
    return new EnvError('busy', `${placeOf(this.#database)}: tables were altered while they were captured`, {
      hint: 'run the command again when that is done',
    })
  }

  /** Where the binary log stood at the point, as far as the server tells. */
  async #position(): Promise<Record<string, Json>> {
    const rows = await this.#readers[0]!.query(`SHOW STATUS LIKE 'binlog\\_snapshot\\_%'`).catch(() => [])
    const values = new Map(rows.map((row) => [row['Variable_name']!.toLowerCase(), row['Value'] ?? '']))
    const file = values.get('binlog_snapshot_file') ?? ''
    if (file === '' || file === 'none') return {}
    const position = Number(values.get('binlog_snapshot_position'))
    const gtid = await this.#readers[0]!.first(`SELECT BINLOG_GTID_POS('${file}', ${position}) gtid`).catch(
      () => undefined,
    )
    return { binlog: { file, position, ...(gtid?.['gtid'] ? { gtid: gtid['gtid'] } : {}) } }
  }

  #recordFacts(binlog: Record<string, Json>): Record<string, Json> {
    return {
      database: this.#database.name,
      rung: this.#serverHold ? this.#facts.rung : this.#locker ? 'table locks' : 'transaction',
      evidence: this.#evidence as unknown as Json,
      ...binlog,
    }
  }

  get #unsteady(): TableDefinition[] {
    return this.#schema!.tables.filter(({ engine }) => keepsRows(engine) && !isTransactional(engine))
  }

  get #steady(): TableDefinition[] {
    return this.#schema!.tables.filter(({ engine }) => isTransactional(engine))
  }

  get #mayLock(): boolean {
    return !this.#options.live && this.#facts.rung !== 'transaction'
  }

  get #ours(): number[] {
    const sessions = [...this.#readers, this.#keeper, this.#locker].flatMap((each) => (each ? [each.threadId] : []))
    return [...sessions, ...(this.#serverHold?.connections ?? [])]
  }

  #sizeOf(name: string): number {
    return Number(this.#evidence?.tables.find(([table]) => table === name)?.[1].split(' ')[2] ?? 0)
  }
}

function versionsOf(facts: ServerFacts): Record<string, string> {
  return { [facts.product.toLowerCase()]: facts.version }
}

/** Without a hold two transactions would be of two moments. */
async function keepOne([first, ...others]: readonly Session[]): Promise<Session[]> {
  for (const other of others) other.destroy()
  return [first!]
}

/** All that does not count up by itself. */
function definitions(schema: Schema): string {
  const tables = schema.tables.map((table) => ({ ...table, autoIncrement: null }))
  return canonicalJson({
    ...schema,
    tables,
    sequences: schema.sequences.map(({ name, create }) => ({ name, create })),
  } as unknown as Json)
}
