import { EnvError, messageOf } from '../domain/errors.ts'
import { enter, type Journal, type JournalState } from '../domain/journal.ts'
import type { Staged } from '../domain/swap.ts'
import type { Service } from '../services/service-driver.ts'
import { runAfterRestore, runRebuilds } from './hooks.ts'
import { type Bound, keepBefore } from './keep-before.ts'
import { markerOf, setMarker } from './loaded-data.ts'
import { isAhead, SwapHold } from './swap-hold.ts'
import { type ConfiguredWorkspace, openStore } from './workspace.ts'

/** How far a journal may go: `forward` finishes it, `back` returns to the state before. */
export type Direction = 'forward' | 'back'

export type Finished = {
  readonly direction: Direction
  readonly journal: Journal
  /** The snapshot that undo brings back; undefined after a way back. */
  readonly before: string | undefined
  /** What people should know although all is done. */
  readonly warnings: readonly string[]
}

/** One journal's way forward or back; see `finishJournal`. */
export class JournalRun {
  readonly #workspace: ConfiguredWorkspace
  readonly #services: readonly Service[]
  readonly #isCancelled: () => boolean
  #journal: Journal
  readonly #bound: readonly Bound[]
  /** Held and swapped one after the other: first those for which no writer waits, where there are such. */
  readonly #waves: readonly (readonly Bound[])[]
  readonly #hold: SwapHold

  constructor(
    workspace: ConfiguredWorkspace,
    journal: Journal,
    services: readonly Service[],
    bound: readonly Bound[],
    isCancelled: () => boolean,
  ) {
    this.#workspace = workspace
    this.#journal = journal
    this.#services = services
    this.#isCancelled = isCancelled
    this.#bound = bound
    this.#hold = new SwapHold(workspace.ports.signal)
    const ahead = bound.filter(isAhead)
    this.#waves = ahead.length > 0 ? [ahead, bound.filter((each) => !isAhead(each))] : [bound]
  }

  async run(wish: Direction): Promise<Finished> {
    try {
      if (this.#journal.state === 'staging') return await this.#goBack()
      if (this.#journal.state === 'staged') {
        if (wish === 'back') return await this.#goBack()
        await this.#commit()
      }
      if (this.#journal.state === 'committing') await this.#swap()
      if (this.#journal.state === 'backing') return await this.#goBack()
      if (this.#journal.state === 'done') await this.#settleOrSay()
      return await this.#tidyUp(this.#journal.state === 'settled' ? 'forward' : 'back')
    } catch (error) {
      throw await this.#released().then((warnings) => withWarnings(error, warnings))
    } finally {
      await this.#release()
    }
  }

  async #released(): Promise<readonly string[]> {
    await this.#release()
    return this.#services.flatMap((service) => service.warnings?.() ?? [])
  }

  async #write(state: JournalState, more: Partial<Journal> = {}): Promise<void> {
    this.#journal = { ...this.#journal, ...more, state }
    await this.#workspace.state.writeJournal(this.#journal)
    this.#workspace.ports.trace(`journal: ${state}`)
  }

  /** All are prepared before the first is held; on the way back there is nothing to prepare, and the store may be gone. */
  async #prepare(): Promise<void> {
    for (const { swap } of this.#bound) await swap.prepare?.()
    this.#workspace.ports.trace('swap: prepared')
  }

  /** Holds a wave and keeps what its targets hold; those that were swapped ahead catch up with it. */
  async #holdWave(wave: readonly Bound[]): Promise<void> {
    await this.#hold.take(wave)
    this.#workspace.ports.trace('swap: held')
    const earlier = this.#waves.slice(0, this.#waves.indexOf(wave)).flat()
    await this.#atOnce(earlier, ({ swap }) => swap.catchUp?.())
    await this.#captureLast(wave)
  }

  #refuseCancelled(): void {
    if (this.#isCancelled())
      throw new EnvError('cancelled', 'cancelled before the swap', { hint: 'nothing was changed' })
  }

  /** Lets writers go on; how long they waited, in microseconds. */
  async #release(): Promise<number> {
    const wasHeld = !this.#hold.isEmpty
    const held = await this.#hold.release(this.#bound)
    if (wasHeld) this.#workspace.ports.trace('swap: released')
    return held
  }

  /** From `staged` to `committing`: from here on the way is forward. A failure before that leaves all as it was. */
  async #commit(): Promise<void> {
    try {
      await this.#markOwners('restoring')
      await this.#prepare()
      await this.#holdWave(this.#waves[0]!)
      this.#refuseCancelled()
    } catch (error) {
      await this.#release()
      await this.#goBack()
      throw error
    }
    await this.#write('committing')
  }

  /** Writers wait: what does not depend on each other is done side by side. All have ended when this does, also when one failed. */
  async #atOnce<T>(
    bound: readonly Bound[],
    step: (bound: Bound) => Promise<T> | undefined,
  ): Promise<(T | undefined)[]> {
    const outcomes = await Promise.allSettled(bound.map(step))
    return outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason
      return outcome.value
    })
  }

  /** Keeps what each target that is not swapped yet holds now; the journal must know of it before the swap. */
  async #captureLast(wave: readonly Bound[]): Promise<void> {
    const captured = new Map<string, Staged>()
    await this.#atOnce(wave, async ({ participant, swap }) => {
      if ((await swap.inspect()) !== 'after') captured.set(participant.name, await swap.lastCapture())
    })
    const participants = this.#journal.participants.map((each) => ({
      ...each,
      staged: captured.get(each.name) ?? each.staged,
    }))
    await this.#write(this.#journal.state, { participants })
  }

  async #swap(): Promise<void> {
    const recovering = this.#hold.isEmpty
    try {
      // A recovery comes here without a hold: writers may have gone on since, so it holds again and captures again.
      if (recovering) await this.#prepare()
      for (const wave of this.#waves) {
        if (recovering || wave !== this.#waves[0]) await this.#holdWave(wave)
        if (!recovering) this.#refuseCancelled()
        for (const { participant, swap } of wave) {
          await swap.forward()
          this.#workspace.ports.trace(`swap: ${participant.name} swapped`)
        }
      }
      await this.#atOnce(this.#bound, ({ swap }) => swap.readBack())
      await this.#write('done')
    } catch (error) {
      // In a recovery writers may have gone on since the crash in what was swapped already: going back would lose what they wrote.
      if (recovering) throw this.#unfinished(error, messageOf(error))
      await this.#goBackAfter(error)
    }
    // Writers go on: from here on nothing may lead back any more. The next write of the journal takes the number along.
    this.#journal = { ...this.#journal, heldMicros: await this.#release() }
  }

  /** Whose data it is. While it is being swapped other clones see that in the service itself. */
  async #markOwners(when: 'before' | 'restoring' | 'after'): Promise<void> {
    const { id, owners, ref } = this.#journal
    for (const service of this.#services) {
      const owner = owners[service.name]
      if (!owner) continue
      // Only what this restore wrote is taken back.
      if (when === 'before' && (await markerOf(this.#workspace, service))?.restoring !== id) continue
      const of = when !== 'after' ? (owner.before ?? owner.after ?? ref) : owner.after
      if (of !== null)
        await setMarker(this.#workspace, service, { ref: of, ...(when === 'restoring' ? { restoring: id } : {}) })
    }
  }

  #unfinished(cause: unknown, reason: string): EnvError {
    const { worktree, id, operation } = this.#journal
    return new EnvError('unfinished', `the ${operation} is not finished: ${reason}`, {
      cause,
      hint: `nothing is lost, all is kept under ${id}; when the cause is mended: git env recover, in ${worktree}`,
    })
  }

  async #goBackAfter(error: unknown): Promise<never> {
    try {
      await this.#goBack()
    } catch (second) {
      throw this.#unfinished(error, `it could be neither finished nor taken back: ${messageOf(second)}`)
    }
    throw error instanceof EnvError
      ? new EnvError(error.code, `${error.message}; everything was put back as it was`, {
          cause: error.cause,
          ...(error.hint === undefined ? {} : { hint: error.hint }),
        })
      : error
  }

  async #goBack(): Promise<Finished> {
    if (this.#journal.state !== 'staging' && this.#journal.state !== 'staged') {
      await this.#write('backing')
      const changed = await this.#changed()
      for (const wave of this.#waves) await this.#hold.take(wave.filter((each) => changed.includes(each)))
      for (const { participant, swap } of this.#bound.toReversed()) {
        await swap.back()
        this.#workspace.ports.trace(`swap: ${participant.name} put back`)
      }
      await this.#release()
    }
    await this.#markOwners('before')
    await this.#write('aborted')
    return this.#tidyUp('back')
  }

  /** A target that is as before needs no hold, which may be what could not be had. */
  async #changed(): Promise<Bound[]> {
    const changed: Bound[] = []
    for (const bound of this.#bound)
      if (this.#hold.has(bound) || (await bound.swap.inspect()) !== 'before') changed.push(bound)
    return changed
  }

  /** From here on everything is swapped and read back: only what was there before is not stored yet. */
  async #settleOrSay(): Promise<void> {
    try {
      await this.#settle()
    } catch (error) {
      throw this.#unfinished(
        error,
        `all is swapped and read back, but what was there before could not be stored: ${messageOf(error)}`,
      )
    }
  }

  /** Captures what was set aside: it becomes what undo brings back. */
  async #settle(): Promise<void> {
    const { state, worktreeKey } = this.#workspace
    const store = await openStore(this.#workspace)
    const before = this.#journal.before ?? (await keepBefore(this.#workspace, store, this.#journal.safety, this.#bound))
    await this.#write(this.#journal.state, { before })
    await state.writeUndoLog(worktreeKey, enter(await state.undoLog(worktreeKey), this.#journal, before))
    this.#workspace.ports.trace('undo: entered')
    await this.#markOwners('after')
    await this.#write('settled', { before })
  }

  async #tidyUp(direction: Direction): Promise<Finished> {
    // Before the journal goes: cut short here, the next command runs it again.
    const warnings: string[] = []
    if (direction === 'forward') {
      if (this.#journal.services.length > 0) warnings.push(...(await runRebuilds(this.#workspace)))
      const failure = await runAfterRestore(this.#workspace)
      if (failure !== undefined) warnings.push(failure)
    }
    for (const { swap } of this.#bound) await swap.discard()
    for (const service of this.#services) await service.sweep(this.#journal.id)
    await this.#workspace.state.removeJournal(this.#journal.id)
    this.#workspace.ports.trace('journal: removed')
    return {
      direction,
      journal: this.#journal,
      before: direction === 'forward' ? this.#journal.before : undefined,
      warnings: [...(await this.#released()), ...warnings],
    }
  }
}

function withWarnings(error: unknown, warnings: readonly string[]): unknown {
  if (!(error instanceof EnvError) || warnings.length === 0) return error
  const { code, message, hint, cause, details } = error
  return new EnvError(code, [message, ...warnings].join('; '), {
    cause,
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
  })
}
