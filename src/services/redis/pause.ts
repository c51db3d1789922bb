import { EnvError } from '../../domain/errors.ts'
import type { Connection, Word } from './connection.ts'
import { RefusedReply } from './replies.ts'

/** Writers wait so long at most when we die; it is asked for again and again while we live. */
const pauseMs = 1500
const againMs = 400

export const pauseCommand: readonly Word[] = ['CLIENT', 'PAUSE', pauseMs, 'WRITE']
export const unpauseCommand: readonly Word[] = ['CLIENT', 'UNPAUSE']

/** Makes writers of a whole server wait: a short pause, renewed until it is released, that ends by itself when nobody renews it. */
export class Pause {
  readonly #connection: Connection
  readonly #name: string
  #timer: NodeJS.Timeout | undefined
  #until = 0

  constructor(connection: Connection, name: string) {
    this.#connection = connection
    this.#name = name
  }

  /** Whether writers have been waiting all the time. */
  get isHeld(): boolean {
    return this.#timer !== undefined && performance.now() < this.#until
  }

  get isBegun(): boolean {
    return this.#timer !== undefined
  }

  /** false: this user may not. Throws `busy` when the server does not answer within the limit. */
  async begin(limitMs: number): Promise<boolean> {
    if (this.#timer !== undefined) return true
    let isLate = false
    const asked = this.#ask().then(async (done) => {
      if (isLate && done) await this.#connection.batch([unpauseCommand])
      return done
    })
    asked.catch(() => {})
    const done = await Promise.race([asked, wait(limitMs).then(() => undefined)])
    if (done === undefined) {
      isLate = true
      throw new EnvError('busy', `${this.#name}: the server does not answer: a long command runs in it`, {
        hint: 'look with: redis-cli slowlog get; then run the command again',
      })
    }
    if (!done) return false
    this.#timer = setInterval(() => void this.#ask().catch(() => {}), againMs)
    this.#timer.unref()
    return true
  }

  /** Somebody else of us has just paused them. */
  renewed(sentAt: number): void {
    this.#until = sentAt + pauseMs
  }

  async end(): Promise<void> {
    if (this.#timer === undefined) return
    this.stop()
    if (!this.#connection.ended) await this.#connection.batch([unpauseCommand])
  }

  /** Asks no more; what was asked for ends by itself. */
  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #ask(): Promise<boolean> {
    const sentAt = performance.now()
    const [reply] = await this.#connection.batch([pauseCommand])
    if (reply instanceof RefusedReply) {
      if (reply.isDenied) return false
      throw reply
    }
    // Where the event loop was late, the pause had ended for a moment.
    if (this.#timer === undefined || sentAt < this.#until) this.#until = sentAt + pauseMs
    return true
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}
