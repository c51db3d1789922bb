import { setTimeout as sleep } from 'node:timers/promises'
import { EnvError } from '../../domain/errors.ts'
import { nameBlockers, writersOf } from './blockers.ts'
import type { Opened } from './live.ts'
import type { WorkerProcess } from './worker-process.ts'

const firstPauseMs = 2
const longestPauseMs = 40

/** A worker process that has the live database open, and how it makes writers wait. */
export class LiveSession {
  readonly worker: WorkerProcess
  readonly opened: Opened
  readonly #path: string

  private constructor(path: string, worker: WorkerProcess, opened: Opened) {
    this.#path = path
    this.worker = worker
    this.opened = opened
  }

  /** Throws `damaged` when SQLite cannot read it. */
  static async open(path: string, worker: WorkerProcess): Promise<LiveSession> {
    return new LiveSession(path, worker, await worker.call('open'))
  }

  get wal(): boolean {
    return this.opened.journalMode === 'wal'
  }

  /** Makes writers wait: short attempts with growing pauses, so that a writer's own attempts get between them. */
  async hold(limitMs: number): Promise<void> {
    const deadline = performance.now() + limitMs
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      if (await this.worker.call('hold')) return
      if (performance.now() + pauseMs >= deadline) throw await this.#busy()
      await sleep(pauseMs)
    }
  }

  async #busy(): Promise<EnvError> {
    const blockers = await writersOf(this.#path, new Set([process.pid, this.worker.pid]))
    const who = blockers.length > 0 ? nameBlockers(blockers) : 'another process'
    return new EnvError('busy', `${this.#path} is being written by ${who}`, {
      hint: 'wait for its transaction to end, or end it, and run the command again',
      details: { blockers },
    })
  }
}
