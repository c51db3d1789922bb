import { EnvError } from '../../domain/errors.ts'
import { type Database, findDatabase, openSession, openSessions, placeOf } from './database.ts'
import { Gate } from './gate.ts'
import type { Hand } from './keys.ts'
import { endStrays, readMark } from './marks.ts'
import type { MarkState } from './names.ts'
import type { ServerFacts } from './server.ts'
import type { Session } from './session.ts'
import { plainResults } from './table-rows.ts'

/** The connections that a swap needs at the same time, each with its part. */
export class SwapSessions {
  readonly main: Session
  readonly facts: ServerFacts
  /** Holds the tables that stay. */
  readonly locker: Session
  readonly gate: Gate
  /** Tables and sequences that the locker, and nobody else, may change. */
  locked: ReadonlySet<string> = new Set()
  /** Sees the tables that take no part as they were inside the hold. */
  snapshot: Session | undefined
  readonly #database: Database
  readonly #id: string
  readonly #all: readonly Session[]

  private constructor(database: Database, id: string, main: Session, facts: ServerFacts, sessions: readonly Session[]) {
    const [locker, keeper, renamer, asker] = sessions as [Session, Session, Session, Session]
    this.#database = database
    this.#id = id
    this.main = main
    this.facts = facts
    this.locker = locker
    this.gate = new Gate(id, facts, [keeper, renamer, asker, main])
    this.#all = [main, ...sessions]
  }

  static async open(database: Database, id: string): Promise<SwapSessions> {
    const { session, facts, state } = await findDatabase(database)
    if (state === 'not there') {
      await session.close()
      throw new EnvError('damaged', `${placeOf(database)}: the database is gone, and what was staged in it`, {
        hint: 'take the restore back: git env restore --abort',
      })
    }
    const sessions = await openSessions(database, 4)
    for (const each of sessions) await each.use(database.name)
    await sessions[0]!.execute(plainResults)
    const opened = new SwapSessions(database, id, session, facts, sessions)
    await endStrays(session, id, opened.threads)
    return opened
  }

  get threads(): number[] {
    return this.#all.map(({ threadId }) => threadId)
  }

  get ended(): boolean {
    return this.#all.some((session) => session.ended)
  }

  mark(): Promise<MarkState | undefined> {
    return readMark(this.main, this.#database.name, this.#id)
  }

  handFor(table: string): Hand {
    return this.locked.has(table) ? { session: this.locker, locked: true } : { session: this.main, locked: false }
  }

  async openSnapshot(): Promise<void> {
    this.snapshot?.destroy()
    this.snapshot = await openSession(this.#database)
    await this.snapshot.use(this.#database.name)
    await this.snapshot.execute(plainResults)
    await this.snapshot.execute('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ')
  }

  /** Nobody waits any longer; what has not been renamed stays as it is. */
  async letGo(): Promise<void> {
    await this.gate.open('nothing')
    await this.unlock()
  }

  async unlock(): Promise<void> {
    this.locked = new Set()
    if (!this.locker.ended) await this.locker.execute('UNLOCK TABLES')
  }

  async close(): Promise<void> {
    this.snapshot?.destroy()
    for (const session of this.#all.slice(1)) session.destroy()
    await this.main.close()
  }
}
