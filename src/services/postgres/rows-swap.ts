import { rm } from 'node:fs/promises'
import type { ContentSink, ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord, StreamRecord } from '../../domain/manifest.ts'
import type { Staged, SwapState } from '../../domain/swap.ts'
import type { ServiceContext, ServiceSwap } from '../service-driver.ts'
import {
  displayName,
  listSequences,
  listTables,
  type SequenceValue,
  sequenceQuery,
  sequenceValues,
  streamName,
  type Table,
} from './catalog.ts'
import { unchangedTables } from './changes.ts'
import { definitionMark } from './definition-mark.ts'
import { readDefinitions, sameDefinitions } from './definitions.ts'
import { endVacuums, holdTables } from './hold.ts'
import { LastCaptures } from './last-capture.ts'
import { type Link, type ServerFacts, serverFacts } from './link.ts'
import { StoredDatabase } from './load.ts'
import { requireDumper } from './programs.ts'
import { factsOf, presentRecord, sequencesStream } from './record.ts'
import { writeDifference } from './row-files.ts'
import {
  applyChanges,
  applySequences,
  becomeReplica,
  type LoadedChange,
  loadChange,
  verifyChanges,
} from './rows-apply.ts'
import { changeFiles, type StagedRows, type TableChange } from './rows-plan.ts'
import type { Session } from './session.ts'
import { qualified } from './sql.ts'
import { asStaged } from './staged.ts'
import { storeSequences } from './store-database.ts'
import { SwapLog } from './swap-log.ts'

const reholdMs = 2000
const defaultHoldMs = 5000

/**
 * Swaps rows within the live database, in one transaction: sessions stay, and everybody sees either all of it or nothing. What was
 * written since the safety snapshot is kept in files before anything is replaced.
 */
export class RowsSwap implements ServiceSwap {
  readonly #link: Link
  readonly #context: ServiceContext
  readonly #staged: StagedRows
  readonly #target: StoredDatabase
  readonly #live: StoredDatabase
  readonly #captures: LastCaptures
  readonly #log: SwapLog
  #work: Work | undefined
  #isHeld = false
  #captured: number | undefined
  #loaded = new Map<string, LoadedChange>()
  /** What was found before the hold, at a moment when nobody was writing. */
  #ahead: { readonly view: string; readonly tables: readonly Table[] } | undefined

  constructor(link: Link, context: ServiceContext, staged: StagedRows, source: ContentSource | undefined) {
    this.#link = link
    this.#context = context
    this.#staged = staged
    const from = source ?? missingSource(context.name)
    this.#target = new StoredDatabase(staged.target, from)
    this.#live = new StoredDatabase(staged.live, from)
    this.#captures = new LastCaptures(staged.directory)
    this.#log = new SwapLog(staged.directory)
  }

  async inspect(): Promise<SwapState> {
    const { holder } = await this.#open()
    return (await this.#log.last(holder))?.kind === 'forward' ? 'after' : 'before'
  }

  async prepare(): Promise<void> {
    const work = await this.#open()
    if ((await this.inspect()) !== 'before') return
    await this.#loadStaged(work)
    await endVacuums(work.holder, work.tables)
    const view = await quietView(work.holder)
    const tables = await this.#changedTables(work)
    this.#ahead = view === undefined ? undefined : { view, tables }
  }

  async hold(limitMs: number): Promise<void> {
    const work = await this.#open()
    if (this.#isHeld) return
    await holdTables(work.holder, work.tables, { mode: 'SHARE ROW EXCLUSIVE', limitMs, name: this.#context.name })
    this.#isHeld = true
  }

  async lastCapture(): Promise<Staged> {
    const work = await this.#open()
    if (!this.#isHeld) await this.hold(defaultHoldMs)
    await this.#refuseChangedDefinitions(work)
    // No transaction of the whole server has written since: then nothing has changed.
    const isQuiet = this.#ahead !== undefined && (await quietView(work.holder)) === this.#ahead.view
    const changed = isQuiet ? this.#ahead!.tables : await this.#changedTables(work)
    this.#captured = await this.#captures.write(
      work.holder,
      changed,
      await readSequencesNow(work.holder),
      work.facts.encoding,
    )
    this.#context.trace(`${this.#context.name}: last capture ${this.#captured}`)
    return asStaged(this.#staged)
  }

  async forward(): Promise<void> {
    if ((await this.inspect()) === 'after') return
    const work = await this.#open()
    if (!this.#isHeld || this.#captured === undefined) await this.lastCapture()
    const { tables } = await this.#captures.read(this.#captured!)
    const { only } = this.#staged
    const wanted = (name: string) => only?.includes(name) ?? true
    const late = new Set(tables.map(({ table }) => table))
    await this.#loadStaged(work)
    const changes: LoadedChange[] = [...this.#loaded.values()].filter(({ change }) => !late.has(change.table))
    for (const [nr, { table, sha256 }] of tables.entries()) {
      const goal = this.#target.find(streamName(tableNamed(work, table)))
      if (!goal || !wanted(table) || goal.content.sha256 === sha256) continue
      const files = changeFiles(this.#staged.directory, 1_000_000 + nr)
      await writeDifference(files, this.#captures.rows(this.#captured!, nr), this.#target.bytes(goal))
      changes.push(await this.#loadChange(work, { table, goal: goal.content.sha256, ...files }))
    }
    await this.#write('forward', changes, only ? undefined : this.#staged.sequences)
  }

  /** To what was there when it was replaced; what has been written since is kept in a capture of its own. */
  async back(): Promise<void> {
    const work = await this.#open()
    const done = await this.#log.last(work.holder)
    if (done?.kind !== 'forward') return
    if (!this.#isHeld) await this.hold(defaultHoldMs)
    const before = await this.#captures.read(done.capture)
    const changed = await this.#changedTables(work)
    this.#captured = await this.#captures.write(
      work.holder,
      changed,
      await readSequencesNow(work.holder),
      work.facts.encoding,
    )
    this.#context.trace(`${this.#context.name}: what is taken back is kept`)
    const changes: LoadedChange[] = []
    for (const [nr, table] of changed.entries()) {
      const name = displayName(table)
      const at = before.tables.findIndex((each) => each.table === name)
      const stored = this.#live.stream(streamName(table))
      const goal = at < 0 ? stored.content.sha256 : before.tables[at]!.sha256
      const files = changeFiles(this.#staged.directory, 2_000_000 + nr)
      const rows = at < 0 ? this.#live.bytes(stored) : this.#captures.rows(done.capture, at)
      await writeDifference(files, this.#captures.rows(this.#captured, nr), rows)
      changes.push(await this.#loadChange(work, { table: name, goal, ...files }))
    }
    await this.#write('back', changes, before.sequences)
  }

  /** Applies, reads back, and commits; then holds again, as far as it can. */
  async #write(
    kind: 'forward' | 'back',
    changes: readonly LoadedChange[],
    sequences: readonly SequenceValue[] | undefined,
  ): Promise<void> {
    const { holder, facts, tables, isReplica } = await this.#open()
    const { name } = this.#context
    await applyChanges(holder, changes, { isReplica, checksKeys: this.#staged.only !== null })
    if (changes.length > 0) await refreshViews(holder, this.#staged.filled)
    if (sequences) await applySequences(holder, sequences, await readSequencesNow(holder))
    await verifyChanges(holder, changes, facts.encoding, name)
    const { xid } = await holder.one('SELECT pg_current_xact_id() AS xid')
    await this.#log.add({ kind, xid: xid!, capture: this.#captured! })
    this.#context.trace(`${name}: written, not committed`)
    await holder.run('COMMIT')
    this.#isHeld = false
    this.#captured = undefined
    this.#context.trace(`${name}: committed`)
    await holdTables(holder, tables, { mode: 'SHARE ROW EXCLUSIVE', limitMs: reholdMs, name }).then(
      () => {
        this.#isHeld = true
      },
      (error: unknown) => {
        if (!(error instanceof EnvError) || error.code !== 'busy') throw error
      },
    )
  }

  /** Every row was compared before it was committed. */
  async readBack(): Promise<void> {
    if ((await this.inspect()) !== 'after')
      throw new EnvError('damaged', `${this.#context.name}: the restore was not committed`)
  }

  async release(): Promise<void> {
    if (this.#isHeld && this.#work && !this.#work.holder.ended) await this.#work.holder.run('ROLLBACK')
    this.#isHeld = false
    this.#captured = undefined
  }

  async before(sink: ContentSink, safety: ServiceRecord): Promise<ServiceRecord> {
    const { holder } = await this.#open()
    const done = await this.#log.last(holder)
    if (done?.kind !== 'forward') return safety
    const capture = await this.#captures.read(done.capture)
    const facts = factsOf(safety)
    const tables = facts.tables.map((table) => ({
      ...table,
      rows: capture.tables.find((each) => each.table === displayName(table))?.rows ?? table.rows,
    }))
    const streams: StreamRecord[] = []
    for (const stream of safety.streams) {
      const table = facts.tables.find((each) => streamName(each) === stream.name)
      const nr = table ? capture.tables.findIndex((each) => each.table === displayName(table)) : -1
      if (nr >= 0) streams.push({ ...stream, content: await sink.write('rows', this.#captures.rows(done.capture, nr)) })
      else if (stream.name === sequencesStream)
        streams.push({ ...stream, content: await storeSequences(sink, capture.sequences) })
      else streams.push(stream)
    }
    return presentRecord(safety.name, safety.level, { streams, facts: { ...facts, tables }, versions: safety.versions })
  }

  async discard(): Promise<void> {
    await this.release()
    await rm(this.#staged.directory, { recursive: true, force: true })
  }

  async #loadStaged(work: Work): Promise<void> {
    for (const change of this.#staged.changes) {
      if (!this.#loaded.has(change.table)) this.#loaded.set(change.table, await this.#loadChange(work, change))
    }
  }

  #loadChange({ holder, facts, tables }: Work, change: TableChange): Promise<LoadedChange> {
    return loadChange(holder, tableNamed({ tables }, change.table), change, facts.encoding)
  }

  async #changedTables({ holder, readers, facts, tables }: Work): Promise<readonly Table[]> {
    const { record } = this.#live
    const unchanged = await unchangedTables([holder, ...readers], tables, {
      facts: this.#live.facts,
      isFrozen: record.level === 'frozen',
      databaseOid: facts.databaseOid,
    })
    return tables.filter((table) => !unchanged.has(displayName(table)))
  }

  async #refuseChangedDefinitions({ holder, facts }: Work): Promise<void> {
    const earlier = this.#live.facts
    const since = String(BigInt(earlier.view.split(':')[1]!) & 0xffffffffn)
    const { counts, later } = await definitionMark(holder, since)
    if (later === 0 && JSON.stringify(counts) === JSON.stringify(earlier.mark)) return
    const { signal, name } = this.#context
    const now = await readDefinitions(this.#link, {
      session: holder,
      major: facts.major,
      dumper: await requireDumper(name, facts.major),
      signal,
    })
    if (sameDefinitions(now, await this.#live.definitions())) return
    throw new EnvError('refused', `${name}: tables or other definitions were changed since the restore was prepared`, {
      hint: 'run the command again: it looks anew',
    })
  }

  async #open(): Promise<Work> {
    if (this.#work && !this.#work.holder.ended) return this.#work
    this.#isHeld = false
    this.#captured = undefined
    this.#loaded = new Map()
    this.#ahead = undefined
    const holder = await this.#link.open()
    const readers = [await this.#link.open()]
    const facts = await serverFacts(holder, this.#context.name)
    if (facts.databaseOid !== this.#live.facts.databaseOid) {
      throw new EnvError(
        'refused',
        `${this.#context.name}: ${this.#staged.database} is another database now than when the restore was prepared`,
        {
          hint: 'run the restore again: it looks anew',
        },
      )
    }
    this.#work = { holder, readers, facts, tables: await listTables(holder), isReplica: await becomeReplica(holder) }
    return this.#work
  }
}

type Work = {
  readonly holder: Session
  readonly readers: readonly Session[]
  readonly facts: ServerFacts
  readonly tables: readonly Table[]
  readonly isReplica: boolean
}

function tableNamed({ tables }: Pick<Work, 'tables'>, name: string): Table {
  const table = tables.find((each) => displayName(each) === name)
  if (!table) throw new EnvError('refused', `table ${name} is gone`, { hint: 'run the restore again: it looks anew' })
  return table
}

/** The number that the next writing transaction will get, where none is under way; undefined where one is. */
async function quietView(session: Session): Promise<string | undefined> {
  const { oldest, next } = await session.one(
    'SELECT pg_snapshot_xmin(v) AS oldest, pg_snapshot_xmax(v) AS next FROM pg_current_snapshot() v',
  )
  return oldest === next ? next! : undefined
}

async function readSequencesNow(session: Session): Promise<SequenceValue[]> {
  const sequences = await listSequences(session)
  const query = sequenceQuery(sequences)
  return query === undefined ? [] : sequenceValues(sequences, await session.query(query))
}

async function refreshViews(session: Session, filled: StagedRows['filled']): Promise<void> {
  for (const [schema, name] of filled) await session.run(`REFRESH MATERIALIZED VIEW ${qualified(schema, name)}`)
}

function missingSource(name: string): ContentSource {
  return {
    // biome-ignore lint/correctness/useYield: there is nothing to yield
    async *read() {
      throw new EnvError('bug', `${name}: this swap was opened without the store`)
    },
  }
}
