import type { Endpoint } from '../connection/endpoint.ts'
import { busyBecause, NotInTime, withinLimit } from './attempt.ts'
import type { ServerFacts } from './server.ts'
import { Session } from './session.ts'

const preparingMs = 3000

/** The rungs that make a whole server's writers wait. */
type Way = 'stage' | 'global lock'

const holds = new Map<string, ServerHold>()

/**
 * Makes all writers of a server wait: once for all databases of one snapshot that lie there, since a second hold would wait for the first.
 * `BACKUP STAGE`: commits wait, and none of the stages before waits for, or stops, a running statement. Else `FLUSH TABLES WITH READ LOCK`.
 */
export class ServerHold {
  readonly #key: string
  readonly #way: Way
  readonly #session: Session
  readonly #killer: Session
  #users = 0
  #state: 'idle' | 'prepared' | 'held' = 'idle'
  /** Calls of several services at the same time are one. */
  #running: Promise<void> = Promise.resolve()

  private constructor(key: string, way: Way, session: Session, killer: Session) {
    this.#key = key
    this.#way = way
    this.#session = session
    this.#killer = killer
  }

  /** Throws {@link NotInTime} where another backup of this server is at work. */
  static async join(endpoint: Endpoint, facts: ServerFacts, signal: AbortSignal): Promise<ServerHold> {
    let hold = holds.get(facts.identity)
    if (!hold) {
      const [session, killer] = await Promise.all([
        Session.open(endpoint, { signal }),
        Session.open(endpoint, { signal }),
      ])
      hold = holds.get(facts.identity)
      if (hold) await Promise.all([session.close(), killer.close()])
      else {
        hold = new ServerHold(facts.identity, facts.rung as Way, session, killer)
        holds.set(facts.identity, hold)
      }
    }
    hold.#users++
    try {
      await hold.#inTurn(() => hold.#prepare(preparingMs))
      return hold
    } catch (error) {
      await hold.leave()
      throw error
    }
  }

  /** Definitions cannot have changed since it was prepared. */
  get keepsDefinitions(): boolean {
    return this.#way === 'stage' && this.#state !== 'idle'
  }

  get connections(): readonly number[] {
    return [this.#session.threadId, this.#killer.threadId]
  }

  hold(limitMs: number, place: string): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state === 'held') return
      const start = performance.now()
      try {
        await this.#prepare(limitMs)
        const left = Math.max(1, limitMs - (performance.now() - start))
        const sql = this.#way === 'stage' ? 'BACKUP STAGE BLOCK_COMMIT' : 'FLUSH TABLES WITH READ LOCK'
        await withinLimit(this.#session, this.#killer, left, sql)
        this.#state = 'held'
      } catch (error) {
        await this.#end()
        if (!(error instanceof NotInTime)) throw error
        throw await busyBecause(this.#killer, place, 'hold the writers', this.connections)
      }
    })
  }

  release(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#state === 'held') await this.#end()
    })
  }

  async leave(): Promise<void> {
    if (--this.#users > 0) return
    holds.delete(this.#key)
    await this.#running
    this.#session.destroy()
    await this.#killer.close()
  }

  async #prepare(limitMs: number): Promise<void> {
    if (this.#state !== 'idle') return
    const deadline = performance.now() + limitMs
    try {
      for (const stage of this.#way === 'stage' ? ['START', 'FLUSH', 'BLOCK_DDL'] : []) {
        const left = Math.max(1, deadline - performance.now())
        await withinLimit(this.#session, this.#killer, left, `BACKUP STAGE ${stage}`)
      }
      this.#state = 'prepared'
    } catch (error) {
      await this.#end()
      throw error
    }
  }

  async #end(): Promise<void> {
    this.#state = 'idle'
    await this.#session.execute(this.#way === 'stage' ? 'BACKUP STAGE END' : 'UNLOCK TABLES').catch(() => {})
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#running.then(work)
    this.#running = turn.catch(() => {})
    return turn
  }
}
