import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Capture, CaptureOptions, ServiceContext } from '../service-driver.ts'
import {
  listSequences,
  listTables,
  type Sequence,
  type SequenceValue,
  sequenceQuery,
  sequenceValues,
  type Table,
} from './catalog.ts'
import { describeRung, endVacuums, holdTables } from './hold.ts'
import { type Link, type ServerFacts, serverFacts } from './link.ts'
import { type Dumper, requireDumper } from './programs.ts'
import { absentRecord } from './record.ts'
import type { Session } from './session.ts'
import { storeDatabase } from './store-database.ts'

/** The moment of a capture: from it, what was written later can be told apart. Plain data. */
export type Point = {
  /** Name under which other connections take the same view while this transaction lasts. */
  readonly snapshot: string
  /** `xmin:xmax:running`, as `pg_current_snapshot` gives it. */
  readonly view: string
  readonly lsn: string
  readonly sequences: readonly SequenceValue[]
}

const readersCount = 2

/** Begins a view of the database of this moment; the same exchange reads the sequences, which no view holds still. */
export async function takePoint(session: Session, sequences: readonly Sequence[]): Promise<Point> {
  const [, seen, values] = await session.each(`
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SELECT pg_export_snapshot() AS snapshot, pg_current_snapshot() AS view,
      CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END AS lsn;
    ${sequenceQuery(sequences) ?? ''}`)
  const row = seen![0]!
  return {
    snapshot: row['snapshot']!,
    view: row['view']!,
    lsn: row['lsn'] ?? '',
    sequences: sequenceValues(sequences, values ?? []),
  }
}

export async function sharePoint(session: Session, { snapshot }: Point): Promise<void> {
  await session.run(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '${snapshot}'`)
}

/** A capture of a database that is not there. */
class AbsentCapture implements Capture {
  readonly #link: Link
  readonly #context: ServiceContext
  #isHeld = false

  constructor(link: Link, context: ServiceContext) {
    this.#link = link
    this.#context = context
  }

  async hold(): Promise<void> {
    this.#isHeld = true
  }

  async point(): Promise<void> {
    const session = await this.#link.openIfThere()
    await session?.close()
    if (session) {
      throw new EnvError('busy', `${this.#context.name}: the database was made while it was being captured`, {
        hint: 'run the command again',
      })
    }
  }

  async release(): Promise<void> {}

  async copy(): Promise<ServiceRecord> {
    return absentRecord(this.#context.name, this.#isHeld ? 'frozen' : 'point')
  }

  async close(): Promise<void> {
    await this.#link.close()
  }
}

/** One capture of a database: connections are made ahead; the copy is of the moment of `point`, however long it takes. */
export class DatabaseCapture implements Capture {
  readonly #link: Link
  readonly #context: ServiceContext
  readonly #sink: ContentSink
  readonly #options: CaptureOptions
  readonly #holder: Session
  readonly #readers: readonly Session[]
  readonly #facts: ServerFacts
  readonly #dumper: Dumper
  readonly #tables: readonly Table[]
  readonly #sequences: readonly Sequence[]
  #isHeld = false
  #wasHeld = false
  #point: Point | undefined

  private constructor(
    link: Link,
    context: ServiceContext,
    sink: ContentSink,
    options: CaptureOptions,
    prepared: Prepared,
  ) {
    this.#link = link
    this.#context = context
    this.#sink = sink
    this.#options = options
    this.#holder = prepared.holder
    this.#readers = prepared.readers
    this.#facts = prepared.facts
    this.#dumper = prepared.dumper
    this.#tables = prepared.tables
    this.#sequences = prepared.sequences
  }

  static async open(link: Link, context: ServiceContext, sink: ContentSink, options: CaptureOptions): Promise<Capture> {
    const holder = await link.openIfThere()
    if (!holder) return new AbsentCapture(link, context)
    const facts = await serverFacts(holder, context.name)
    const dumper = await requireDumper(context.name, facts.major)
    const readers = await Promise.all(Array.from({ length: readersCount }, () => link.open()))
    const tables = await listTables(holder)
    refuseUnreadable(context.name, facts, tables)
    const sequences = await listSequences(holder)
    if (!options.live && !facts.isStandby) await endVacuums(holder, tables)
    return new DatabaseCapture(link, context, sink, options, { holder, readers, facts, dumper, tables, sequences })
  }

  async hold(limitMs: number): Promise<void> {
    const lockable = this.#facts.isStandby ? [] : this.#tables.filter((table) => table.lockable)
    await holdTables(this.#holder, lockable, { mode: 'SHARE', limitMs, name: this.#context.name })
    this.#isHeld = true
  }

  async point(): Promise<void> {
    this.#point = await takePoint(this.#readers[0]!, this.#sequences)
    this.#wasHeld = this.#isHeld
  }

  async release(): Promise<void> {
    if (this.#isHeld) await this.#holder.run('ROLLBACK')
    this.#isHeld = false
  }

  async copy(): Promise<ServiceRecord> {
    const point = this.#point!
    for (const reader of this.#readers.slice(1)) await sharePoint(reader, point)
    const tables = await listTables(this.#readers[0]!)
    // A table that came between preparing and the point was not held.
    const known = new Set(this.#tables.map((table) => table.oid))
    const { rung, isFrozen } = describeRung(tables, this.#facts.isStandby)
    const level = this.#wasHeld && isFrozen && tables.every((table) => known.has(table.oid)) ? 'frozen' : 'point'
    return storeDatabase({
      link: this.#link,
      name: this.#context.name,
      readers: this.#readers,
      facts: this.#facts,
      dumper: this.#dumper,
      tables,
      point,
      level,
      rung,
      sink: this.#sink,
      progress: this.#options.progress,
      signal: this.#context.signal,
    })
  }

  async close(): Promise<void> {
    await this.#link.close()
  }
}

type Prepared = {
  readonly holder: Session
  readonly readers: readonly Session[]
  readonly facts: ServerFacts
  readonly dumper: Dumper
  readonly tables: readonly Table[]
  readonly sequences: readonly Sequence[]
}

function refuseUnreadable(name: string, { user }: ServerFacts, tables: readonly Table[]): void {
  const unreadable = tables.filter((table) => !table.readable)
  if (unreadable.length === 0) return
  const list = unreadable.slice(0, 3).map((table) => `${table.schema}.${table.name}`)
  throw new EnvError(
    'refused',
    `${name}: ${user} may not read ${list.join(', ')}${unreadable.length > 3 ? ` and ${unreadable.length - 3} more tables` : ''}`,
    {
      hint: `GRANT pg_read_all_data TO ${user}; or GRANT SELECT on those tables`,
    },
  )
}
