import { setTimeout as sleep } from 'node:timers/promises'
import { EnvError } from '../../domain/errors.ts'
import { NotInTime } from './attempt.ts'
import { gateName, type MarkState, markName, quoted } from './names.ts'
import type { ServerFacts } from './server.ts'
import { isServerError, type Session } from './session.ts'

export type Renaming = { readonly from: string; readonly to: string }

/** How often a waiting rename is looked at. */
const lookMs = 1
/** Where a server cannot be asked without waiting: an answer that takes longer than this waits for a lock. */
const silenceMs = 5

/**
 * Renames all tables of a swap in one statement, and keeps everybody away from them from before until that is done.
 * The statement takes its locks in the order of names, and its last one is the gate, which we hold: so it waits, with all tables in its
 * hands, until the gate opens. Its first step renames the mark from a state that is made right before: where we die before, the gate opens
 * by itself, the statement finds no such mark, and nothing is renamed.
 */
export class Gate {
  readonly #id: string
  readonly #facts: ServerFacts
  /** Holds the gate; renames; asks whether the rename has got there; ends it. */
  readonly #keeper: Session
  readonly #renamer: Session
  readonly #asker: Session
  readonly #killer: Session
  #rename: Promise<unknown> | undefined
  #closed = false

  constructor(id: string, facts: ServerFacts, sessions: readonly [Session, Session, Session, Session]) {
    this.#id = id
    this.#facts = facts
    ;[this.#keeper, this.#renamer, this.#asker, this.#killer] = sessions
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Makes the tables that the gate is made of, fresh. */
  async build(): Promise<void> {
    for (const part of ['gate', 'end'] as const) {
      await this.#killer.execute(`DROP TABLE IF EXISTS ${this.#name(part)}, ${this.#name(`${part}_off`)}`)
      await this.#killer.execute(`CREATE TABLE ${this.#name(part)} (i INT) ENGINE = MEMORY`)
    }
    if (this.#facts.product === 'MariaDB') await this.#asker.execute('SET SESSION lock_wait_timeout = 0')
  }

  /** Resolves when nobody but the rename can reach any of the tables; or throws {@link NotInTime} and leaves nobody waiting. */
  async close(armed: MarkState, after: MarkState, renamings: readonly Renaming[], limitMs: number): Promise<void> {
    const deadline = performance.now() + limitMs
    await this.#keeper.execute(`LOCK TABLES ${this.#name('gate')} WRITE`)
    this.#closed = true
    const steps = [
      { from: markName(this.#id, armed), to: markName(this.#id, after) },
      ...renamings,
      ...(['end', 'gate'] as const).map((part) => ({
        from: gateName(this.#id, part),
        to: gateName(this.#id, `${part}_off`),
      })),
    ]
    const list = steps.map(({ from, to }) => `${quoted(from)} TO ${quoted(to)}`)
    let early: unknown
    this.#rename = this.#renamer.execute(`RENAME TABLE ${list.join(', ')}`).then(
      () => undefined,
      (error) => {
        early = error
        return error
      },
    )
    while (!(await this.#isAtEnd())) {
      if (early !== undefined || performance.now() > deadline) {
        await this.open('nothing')
        if (early !== undefined && !isServerError(early, 1317)) throw early
        throw new NotInTime()
      }
      await sleep(lookMs)
    }
  }

  /** Lets the rename through (the mark is armed by now), or ends it. */
  async open(way: 'rename' | 'nothing'): Promise<void> {
    if (!this.#closed) return
    if (way === 'nothing') {
      await this.#killer.execute(`KILL QUERY ${this.#renamer.threadId}`).catch(() => {})
      await this.#rename
      await this.#renamer.execute('DO 0').catch(() => {})
    }
    await this.#keeper.execute('UNLOCK TABLES')
    this.#closed = false
    const failure = await this.#rename
    if (way === 'rename' && failure !== undefined) throw failure
  }

  /** The table before the gate is nobody's but the rename's. */
  async #isAtEnd(): Promise<boolean> {
    const asked = this.#asker.query(`SELECT 1 FROM ${this.#name('end')}`).then(
      () => false,
      (error) => {
        if (isServerError(error, 1205)) return true
        // It is through already, or was ended.
        if (isServerError(error, 1146)) return false
        throw error instanceof EnvError ? error : new EnvError('unavailable', String(error))
      },
    )
    if (this.#facts.product === 'MariaDB') return asked
    return Promise.race([asked, sleep(silenceMs).then(() => true)])
  }

  #name(part: Parameters<typeof gateName>[1]): string {
    return quoted(gateName(this.#id, part))
  }
}
