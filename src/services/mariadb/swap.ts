import { setTimeout as sleep } from 'node:timers/promises'
import type { ContentSink, ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged, SwapState } from '../../domain/swap.ts'
import type { ServiceSwap } from '../service-driver.ts'
import { busyBecause, NotInTime } from './attempt.ts'
import { recordBefore } from './before.ts'
import { type Database, openSession, placeOf } from './database.ts'
import { judge } from './equal.ts'
import { asEvidence, isUntouched, readEvidence } from './evidence.ts'
import { dropAll, dropTable, makeTable, moveMark } from './marks.ts'
import { asideName, byName, createdName, goneName, quoted, stagedName } from './names.ts'
import { listTables, readCounters, readSchema } from './read-schema.ts'
import type { Schema } from './schema.ts'
import { settle } from './settle.ts'
import { prepareParts } from './stage.ts'
import { stageMore } from './stage-more.ts'
import { asStaged, type StagedDatabase } from './staged.ts'
import { translate } from './stager.ts'
import { SwapFiles } from './swap-files.ts'
import { attemptHold, WrittenTo } from './swap-hold.ts'
import { type Direction, differences, directionFrom, partsFor, tablesToMend, wantedSchema } from './swap-plan.ts'
import { SwapSessions } from './swap-sessions.ts'

/** How long `forward` and `back` go on trying to get the tables to themselves, where nobody holds them yet. */
const longestHoldMs = 10_000
/** Nobody waits longer for an attempt that comes to nothing, however long the whole may take. */
const longestAttemptMs = 100
const pauseMs = 20

const takeSnapshot = 'START TRANSACTION WITH CONSISTENT SNAPSHOT'

/** What was written to in the last moment is staged at once where it is no larger; else when nobody waits. */
const stagedAtOnceBytes = 1_048_576

/** Swaps by one rename of all tables that differ; see docs/decisions/0008. */
export class DatabaseSwap implements ServiceSwap {
  #staged: StagedDatabase
  readonly #database: Database
  readonly #source: ContentSource | undefined
  readonly #files: SwapFiles
  #sessions: SwapSessions | undefined
  #target: Schema | undefined
  #before: Schema | undefined
  #prepared: Direction | undefined
  /** What waits has its keys and triggers, and the tables that stay are to be looked at inside the hold. */
  #ready = false
  /** Tables that turned out to be written to, to be staged as soon as nobody waits. */
  #written: readonly string[] = []

  constructor(staged: StagedDatabase, database: Database, source: ContentSource | undefined) {
    this.#staged = staged
    this.#database = database
    this.#source = source
    this.#files = new SwapFiles(database.context.privateDirectory, staged.id)
  }

  async inspect(): Promise<SwapState> {
    const mark = await (await this.#open()).mark()
    if (mark === 'done') return 'after'
    return mark === undefined || mark === 'staged' || mark === 'armed' ? 'before' : 'between'
  }

  async prepare(): Promise<void> {
    const direction = await this.#look()
    const sessions = await this.#open()
    const { main, facts } = sessions
    const isForward = direction === 'forward'
    if (isForward && (await this.#stageDoubtful(sessions))) await this.#look()
    const schema = isForward ? await this.#targetSchema() : await this.#beforeSchema()
    const waiting = this.#staged.parts.filter((part) => (isForward ? part.comes : part.goes))
    await main.execute('SET SESSION foreign_key_checks = 0')
    await prepareParts(main, facts, this.#staged.id, schema, waiting, isForward ? stagedName : asideName)
    this.#ready = true
  }

  /** Where it stands, which way a rename would lead from there, and what a hold needs for that. */
  async #look(): Promise<Direction> {
    const sessions = await this.#open()
    const { main, facts, gate } = sessions
    const { id } = this.#staged
    const mark = await sessions.mark()
    if (mark === undefined) throw this.#gone()
    if (mark === 'armed') await moveMark(main, id, 'armed', 'staged')
    if (mark === 'returning') await moveMark(main, id, 'returning', 'swapped')
    const direction = directionFrom(mark === 'returning' ? 'swapped' : mark)
    if (direction === 'forward') this.#before = await readSchema(main, facts, this.#database.name)
    await gate.build()
    if (this.#staged.only !== null) await sessions.openSnapshot()
    this.#prepared = direction
    return direction
  }

  /** Tables whose evidence tells nothing and that are too large to be read inside the hold are staged while writers go on. */
  async #stageDoubtful({ main, facts }: SwapSessions): Promise<boolean> {
    const { equal, evidence } = this.#staged
    const { doubtful } = judge(equal, evidence, await readEvidence(main, facts, this.#database.name))
    const names = [...new Set([...doubtful.map(({ name }) => name), ...this.#written])]
    this.#written = []
    await this.#stageMore(names)
    return names.length > 0
  }

  async #stageMore(names: readonly string[]): Promise<void> {
    if (names.length === 0) return
    const { main, facts } = await this.#open()
    if (!this.#source) throw new EnvError('bug', `${placeOf(this.#database)}: nothing to stage from`)
    const more = { database: this.#database, main, facts, source: this.#source, schema: await this.#targetSchema() }
    this.#staged = await stageMore(more, this.#staged, names)
  }

  async hold(limitMs: number): Promise<void> {
    const sessions = await this.#open()
    const deadline = performance.now() + limitMs
    while (!sessions.gate.closed) {
      const attemptMs = Math.min(longestAttemptMs, deadline - performance.now())
      try {
        await this.#attempt(sessions, Math.max(1, attemptMs))
      } catch (error) {
        await sessions.letGo()
        if (error instanceof WrittenTo) await this.#stageOrSay(error.tables)
        else if (!(error instanceof NotInTime))
          throw translate({ database: this.#database, facts: sessions.facts }, error)
        else if (performance.now() + pauseMs >= deadline) {
          throw await busyBecause(sessions.main, placeOf(this.#database), 'hold the writers', sessions.threads)
        } else await sleep(pauseMs)
      }
    }
  }

  async #attempt(sessions: SwapSessions, limitMs: number): Promise<void> {
    // On the way back nothing was prepared, and may not be possible: then only the hold itself is made.
    const direction = this.#prepared ?? (await this.#look())
    const isForward = direction === 'forward'
    if (isForward) {
      const parts = partsFor(this.#staged, await listTables(sessions.main, this.#database.name))
      this.#staged = { ...this.#staged, parts }
    }
    const plan = {
      database: this.#database.name,
      staged: this.#staged,
      direction,
      before: await this.#beforeSchema(),
      want: await this.#wanted('forward'),
      target: isForward && this.#ready ? await this.#targetSchema() : undefined,
    }
    await attemptHold(sessions, plan, limitMs)
    if (isForward && this.#staged.only !== null) await sessions.snapshot?.execute(takeSnapshot)
  }

  /** What is small is staged at once; else when nobody waits. */
  async #stageOrSay(written: readonly string[]): Promise<void> {
    const sizes = this.#staged.equal.flatMap(({ name, content }) => (written.includes(name) ? [content.bytes] : []))
    if (sizes.reduce((sum, bytes) => sum + bytes, 0) <= stagedAtOnceBytes) return this.#stageMore(written)
    this.#written = written
    const names = written.join(', ')
    throw new EnvError('busy', `${placeOf(this.#database)}: ${names} was written to right before the swap`, {
      hint: 'run the command again',
    })
  }

  async lastCapture(): Promise<Staged> {
    const sessions = await this.#open()
    if (directionFrom((await sessions.mark()) ?? 'staged') === 'back') return asStaged(this.#staged)
    if (!this.#ready || !sessions.gate.closed) await this.#holdAgain()
    const number = (this.#staged.before ?? -1) + 1
    const before = await this.#beforeSchema()
    const isLocked = ({ name }: { readonly name: string }) => sessions.locked.has(name)
    const sequences = [
      ...(await readCounters(sessions.locker, before.sequences.filter(isLocked))),
      ...(await readCounters(
        sessions.main,
        before.sequences.filter((each) => !isLocked(each)),
      )),
    ].sort(byName)
    this.#before = { ...before, sequences }
    await this.#files.write(`before-${number}`, this.#before)
    this.#staged = { ...this.#staged, before: number }
    this.#trace(`last capture ${number}`)
    return asStaged(this.#staged)
  }

  async forward(): Promise<void> {
    const sessions = await this.#open()
    if ((await sessions.mark()) === 'done') return
    if (this.#staged.before === undefined) await this.lastCapture()
    await this.#rename('forward')
    await this.#settle('forward')
  }

  async back(): Promise<void> {
    const sessions = await this.#open()
    const mark = await sessions.mark()
    if (mark === undefined || mark === 'staged') return
    if (mark === 'armed') {
      await sessions.letGo()
      return moveMark(sessions.main, this.#staged.id, 'armed', 'staged')
    }
    await this.#rename('back')
    await this.#settle('back')
  }

  /** Arms the mark, opens the gate: all tables change their names at once, or none does. */
  async #rename(direction: Direction): Promise<void> {
    const sessions = await this.#open()
    const mark = (await sessions.mark()) ?? 'staged'
    if (directionFrom(mark) !== direction) return
    if (!sessions.gate.closed || this.#prepared !== direction || !this.#ready) await this.#holdAgain()
    const { id } = this.#staged
    const { main, gate } = sessions
    if (direction === 'forward') await this.#dropViewsInTheWay(sessions)
    const [from, armed] =
      direction === 'forward'
        ? ([mark === 'returned' ? 'returned' : 'staged', 'armed'] as const)
        : ([mark === 'done' ? 'done' : 'swapped', 'returning'] as const)
    await moveMark(main, id, from, armed)
    this.#trace(armed)
    try {
      await gate.open('rename')
    } catch (error) {
      await moveMark(main, id, armed, from).catch(() => {})
      throw error
    }
    this.#trace(direction === 'forward' ? 'swapped' : 'returned')
  }

  async #holdAgain(): Promise<void> {
    const sessions = await this.#open()
    await sessions.letGo()
    await this.prepare()
    const deadline = performance.now() + longestHoldMs
    for (;;) {
      try {
        return await this.hold(longestAttemptMs)
      } catch (error) {
        if (!(error instanceof EnvError && error.code === 'busy') || performance.now() > deadline) throw error
        await sleep(pauseMs)
      }
    }
  }

  /** A table cannot take the name of a view. */
  async #dropViewsInTheWay({ main }: SwapSessions): Promise<void> {
    const comes = new Set(this.#staged.parts.filter((part) => part.comes).map(({ name }) => name))
    for (const { name } of (await this.#beforeSchema()).views) {
      if (comes.has(name)) await main.execute(`DROP VIEW IF EXISTS ${quoted(name)}`)
    }
  }

  async #settle(direction: Direction): Promise<void> {
    const sessions = await this.#open()
    // A recovery may have held for the other way: nothing is renamed any more.
    await sessions.gate.open('nothing')
    const { id, parts, only, presence } = this.#staged
    const { main, facts } = sessions
    const want = await this.#wanted(direction)
    const have = direction === 'forward' ? await this.#beforeSchema() : await this.#wanted('forward')
    const [arrived, left] = direction === 'forward' ? (['comes', 'goes'] as const) : (['goes', 'comes'] as const)
    const mend = tablesToMend(parts, await this.#beforeSchema(), await this.#wanted('forward'))
    // What could not be locked for a change has to be let go for it.
    if (mend.some((table) => !sessions.locked.has(table))) await sessions.unlock()
    await settle({
      session: main,
      facts,
      database: this.#database.name,
      want,
      have,
      live: [...parts.filter((part) => part[arrived]).map(({ name }) => name), ...mend],
      aside: parts
        .filter((part) => part[left])
        .map(({ number }) => (direction === 'forward' ? asideName(id, number) : stagedName(id, number))),
      handFor: (table) => sessions.handFor(table),
      letStayingGo: () => sessions.unlock(),
      only,
    })
    this.#trace('settled')
    if (direction === 'forward' && presence === 'absent') await makeTable(main, goneName(id))
    if (direction === 'forward' && presence !== 'absent') await dropTable(main, createdName(id))
    if (direction === 'back') await dropTable(main, goneName(id))
    const [from, to] = direction === 'forward' ? (['swapped', 'done'] as const) : (['returned', 'staged'] as const)
    await moveMark(main, id, from, to)
    this.#prepared = undefined
    this.#ready = false
    this.#trace(to)
  }

  async readBack(): Promise<void> {
    const sessions = await this.#open()
    const { main, facts, gate } = sessions
    // A recovery may have held what is swapped already, for a way back: now it is to be read.
    await gate.open('nothing')
    if ((await sessions.mark()) !== 'done') throw new EnvError('damaged', `${placeOf(this.#database)} is not swapped`)
    const have = await readSchema(main, facts, this.#database.name)
    const differing = differences(await this.#wanted('forward'), have, this.#staged.only)
    if (differing.length === 0) return
    throw new EnvError('damaged', `${placeOf(this.#database)}: ${differing.join(', ')} is not what was restored`)
  }

  async release(): Promise<void> {
    await this.#sessions?.letGo()
    // After an attempt that found tables written to: staged now, while nobody waits, so that the next one can succeed.
    const written = this.#written
    this.#written = []
    await this.#stageMore(written)
  }

  async before(sink: ContentSink, safety: ServiceRecord): Promise<ServiceRecord> {
    const { main, facts, snapshot } = await this.#open()
    const { name, context } = this.#database
    return recordBefore({
      name: context.name,
      database: name,
      session: main,
      snapshot,
      facts,
      staged: this.#staged,
      before: await this.#beforeSchema(),
      sink,
      safety,
      written: this.#staged.only === null ? [] : await this.#touchedSince(safety),
    })
  }

  /** Of tables that took no part: those that the evidence cannot vouch for. */
  async #touchedSince(safety: ServiceRecord): Promise<string[]> {
    const { main, facts } = await this.#open()
    const then = asEvidence(safety.facts['evidence'])
    const now = await readEvidence(main, facts, this.#database.name)
    return (await this.#beforeSchema()).tables.map(({ name }) => name).filter((name) => !isUntouched(name, then, now))
  }

  async discard(): Promise<void> {
    await this.close()
    const session = await openSession(this.#database)
    try {
      await dropAll(session, this.#database.name, this.#staged.id)
    } finally {
      await session.close()
    }
    await this.#files.remove()
  }

  async close(): Promise<void> {
    const sessions = this.#sessions
    this.#sessions = undefined
    this.#prepared = undefined
    this.#ready = false
    await sessions?.close()
  }

  async #open(): Promise<SwapSessions> {
    if (this.#sessions?.ended) await this.close()
    this.#sessions ??= await SwapSessions.open(this.#database, this.#staged.id)
    return this.#sessions
  }

  async #targetSchema(): Promise<Schema> {
    this.#target ??= await this.#files.read('target')
    return this.#target
  }

  async #beforeSchema(): Promise<Schema> {
    this.#before ??= await this.#files.read(`before-${this.#staged.before ?? 0}`)
    return this.#before
  }

  async #wanted(direction: Direction): Promise<Schema> {
    const before = await this.#beforeSchema()
    return direction === 'back' ? before : wantedSchema(this.#staged, await this.#targetSchema(), before)
  }

  #gone(): EnvError {
    return new EnvError('damaged', `${placeOf(this.#database)}: what was staged is not there any more`, {
      hint: 'take the restore back: git env restore --abort',
    })
  }

  #trace(step: string): void {
    this.#database.context.trace(`${this.#database.context.name}: ${step}`)
  }
}
