import path from 'node:path'
import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged, SwapState } from '../../domain/swap.ts'
import type { ServiceContext, ServiceSwap } from '../service-driver.ts'
import { find } from './capture.ts'
import type { LiveSession } from './live-session.ts'
import { namesIn, remove, requireRoom } from './place.ts'
import { recordCopy } from './record-copy.ts'
import { asStaged, captureOf, cookieFor, type StagedInPlace } from './staged.ts'

export const targetName = 'target'
const defaultHoldMs = 5000
const reholdMs = 5000

/**
 * Swaps the content of a live database by rewriting, in one transaction, the tables that differ: other processes keep their connections
 * and see either all of it or nothing. The schema version that is committed with it tells which state the file is in,
 * and which capture holds what was there before; nothing of ours is left in the data.
 */
export class InPlaceSwap implements ServiceSwap {
  readonly #staged: StagedInPlace
  readonly #context: ServiceContext
  #session: LiveSession | undefined
  #held = false
  /** Number of the capture taken inside the present hold. */
  #captured: number | undefined
  /** The schema version that this swap committed, and the database's version then. */
  #committed: { readonly cookie: number; readonly version: number | undefined } | undefined

  constructor(staged: StagedInPlace, context: ServiceContext) {
    this.#staged = staged
    this.#context = context
  }

  async inspect(): Promise<SwapState> {
    return (await this.#capture()) === undefined ? 'before' : 'after'
  }

  /** Copies and compares ahead, so that inside the hold only what changed since is left to do. */
  async prepare(): Promise<void> {
    const session = await this.#open()
    if (this.#held || (await this.inspect()) !== 'before') return
    await requireRoom(this.#staged.directory, session.opened.bytes)
    await session.worker.call('readAhead', { to: this.#path('ahead'), goal: this.#path(targetName) })
  }

  async hold(limitMs: number): Promise<void> {
    const session = await this.#open()
    await session.hold(limitMs)
    this.#held = true
  }

  async lastCapture(): Promise<Staged> {
    const session = await this.#open()
    this.#captured = await this.#nextNumber('before')
    await requireRoom(this.#staged.directory, session.opened.bytes)
    await session.worker.call('lastCapture', { to: this.#path(`before-${this.#captured}`) })
    this.#context.trace(`${this.#context.name}: last capture ${this.#captured}`)
    return asStaged(this.#staged)
  }

  async forward(): Promise<void> {
    if ((await this.inspect()) === 'after') return
    if (!this.#held) await this.hold(defaultHoldMs)
    if (this.#captured === undefined) await this.lastCapture()
    const { forwardCookie, only } = this.#staged
    await this.#write(targetName, cookieFor(this.#captured!, forwardCookie, Math.random), only ?? undefined)
  }

  async back(): Promise<void> {
    const number = await this.#capture()
    if (number === undefined) return
    if (!this.#held) await this.hold(defaultHoldMs)
    const session = await this.#open()
    const replaced = await this.#nextNumber('replaced')
    await requireRoom(this.#staged.directory, session.opened.bytes)
    await session.worker.call('lastCapture', { to: this.#path(`replaced-${replaced}`) })
    this.#context.trace(`${this.#context.name}: what is taken back is kept`)
    await this.#write(`before-${number}`, cookieFor(replaced, this.#staged.backCookie, Math.random), undefined)
  }

  /** Writes and compares inside the transaction, commits, and holds again at once. */
  async #write(goal: string, cookie: number, only: readonly string[] | undefined): Promise<void> {
    const { worker } = await this.#open()
    await worker.call('rewrite', { goal: this.#path(goal), cookie, ...(only ? { only } : {}) })
    this.#context.trace(`${this.#context.name}: written, not committed`)
    const version = await worker.call('version')
    this.#held = false
    this.#captured = undefined
    await worker.call('commit')
    this.#context.trace(`${this.#context.name}: committed`)
    await (await this.#open()).hold(reholdMs)
    this.#held = true
    const quiet = (await worker.call('version')) === version
    this.#committed = { cookie, version: quiet ? version : undefined }
  }

  /** Rows were compared before they were committed; here the file itself is checked, and that what is in it is what was committed. */
  async readBack(): Promise<void> {
    const { worker } = await this.#open()
    const cookie = await worker.call('cookie')
    const expected = this.#committed?.version === undefined ? undefined : this.#committed.cookie
    if (
      captureOf(cookie, this.#staged.forwardCookie) === undefined ||
      (expected !== undefined && cookie !== expected)
    ) {
      throw new EnvError('damaged', `${this.#staged.file} does not hold what was restored (schema version ${cookie})`)
    }
    const problem = await worker.call('quickCheck')
    if (problem) throw new EnvError('damaged', `${this.#staged.file} is damaged after the restore: ${problem}`)
  }

  async release(): Promise<void> {
    this.#held = false
    this.#captured = undefined
    if (!this.#session || this.#session.worker.ended) return
    await this.#session.worker.call('release')
    if (this.#committed && this.#session.wal) await this.#session.worker.call('checkpoint').catch(() => {})
  }

  async before(sink: ContentSink, safety: ServiceRecord): Promise<ServiceRecord> {
    const number = (await this.#capture()) ?? (await this.#nextNumber('before')) - 1
    const copy = this.#path(`before-${number}`)
    const base = { name: this.#context.name, level: safety.level }
    return recordCopy(base, sink, copy, safety.facts, this.#context.signal)
  }

  async discard(): Promise<void> {
    await this.close()
    await remove(this.#staged.directory)
  }

  async close(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    await session?.worker.rest()
  }

  /** The number of the capture that holds what was there before; undefined when the live file is not what was restored. */
  async #capture(): Promise<number | undefined> {
    if (this.#session && !this.#session.worker.ended)
      return captureOf(await this.#session.worker.call('cookie'), this.#staged.forwardCookie)
    const found = await find(this.#staged.file, this.#context.signal)
    this.#session = found.session
    return found.session && captureOf(found.session.opened.cookie, this.#staged.forwardCookie)
  }

  async #open(): Promise<LiveSession> {
    if (this.#session && !this.#session.worker.ended) return this.#session
    const { look, session } = await find(this.#staged.file, this.#context.signal)
    if (!session) {
      throw new EnvError(
        'refused',
        `${this.#staged.file} is ${look.state} now, and was not when the restore was prepared`,
        {
          hint: 'run the restore again: it looks anew',
        },
      )
    }
    this.#session = session
    return session
  }

  #path(name: string): string {
    return path.join(this.#staged.directory, name)
  }

  async #nextNumber(kind: 'before' | 'replaced'): Promise<number> {
    const numbers = (await namesIn(this.#staged.directory))
      .map((name) => new RegExp(`^${kind}-(\\d+)$`).exec(name)?.[1])
      .map((number) => (number === undefined ? -1 : Number(number)))
    return Math.max(-1, ...numbers) + 1
  }
}
