import { readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { EnvError, systemCode } from '../domain/errors.ts'
import type { CodeRecord } from '../domain/manifest.ts'
import type { Staged, SwapState } from '../domain/swap.ts'
import { displayPath } from '../domain/tree.ts'
import { makeDirectory, replaceFile } from '../system/durable-file.ts'
import type { Trace } from '../system/trace.ts'
import { recordBefore, saveLeftovers } from './code-before.ts'
import { asStaged, type CodeStaged, readWork, type Work } from './code-plan.ts'
import { readCommits } from './commits.ts'
import type { CodeSwap } from './git-repository.ts'
import { IndexLock } from './index-lock.ts'
import { type KeptChanges, keepChanges, type LastKept } from './keep-changes.ts'
import { lookAt } from './live-files.ts'
import { headState, isHeadUnmoved, isMoved, isUnmoved, movedOn, moveHeadBack, moveWithFiles } from './move-head.ts'
import { below } from './paths.ts'
import type { RecordContext } from './record.ts'
import { gitFailure } from './run-git.ts'
import { removeFile, SetAside } from './set-aside.ts'
import {
  expectedPaths,
  type Look,
  layOver,
  look,
  overlayPaths,
  readPlan,
  rollFilesBack,
  type SwapContext,
  setAside,
  writePlan,
} from './swap-files.ts'

/**
 * How far the files are, kept beside the set-asides:
 * - `aside`: the state before is written down; files are being set aside
 * - `moving`: all is set aside, and Git may be moving branch, index and files
 * - `laying`: they are moved; changes are being laid over
 * - `after`, `before`: whole, the one or the other
 * - `returning`: on the way to `before` from `aside`, where nothing was moved by Git
 * - `backing`: on the way to `before` from anywhere else
 */
type Phase = 'aside' | 'moving' | 'laying' | 'after' | 'returning' | 'backing' | 'before'

const attempts = 6

/** The swap of a work tree's code; see the laws in ../domain/swap.ts. */
export class WorkTreeSwap implements CodeSwap {
  readonly #repository: RecordContext
  readonly #context: SwapContext
  #staged: CodeStaged
  #cachedWork: Work | undefined
  readonly #lastKept: LastKept = {}

  constructor(repository: RecordContext, top: string, staged: CodeStaged, trace: Trace) {
    const { git, location, environment } = repository
    const index = environment['GIT_INDEX_FILE'] ?? path.join(location.gitDirectory, 'index')
    const lock = new IndexLock(git, index, staged.asideDirectory)
    const aside = new SetAside(top, staged.asideDirectory)
    const step = (name: string) => trace(`code: ${name}`)
    this.#repository = repository
    this.#staged = staged
    this.#context = { git, top, staged, lock, aside, index, step }
  }

  async inspect(): Promise<SwapState> {
    const phase = await this.#phase()
    const { git } = this.#context
    if (phase === undefined || phase === 'before')
      return (await isMoved(git, this.#staged)) && this.#moves() ? 'between' : 'before'
    if (phase !== 'after') return 'between'
    const { commit } = await headState(git, this.#staged)
    return commit === this.#staged.old && this.#moves() ? 'between' : 'after'
  }

  /** Reads what is to be done, and keeps uncommitted code: inside the hold it is only looked whether that is still the same. */
  async prepare(): Promise<void> {
    const state = await this.inspect()
    if (state !== 'after') await this.#work()
    if (state === 'before') await this.#keep()
  }

  async hold(limitMs: number): Promise<void> {
    await this.#context.lock.waitUntilFree(limitMs)
  }

  async release(): Promise<void> {
    // Nobody is kept from editing files: what is edited is found and set aside.
  }

  async lastCapture(): Promise<Staged> {
    if ((await this.inspect()) !== 'before') return asStaged(this.#staged)
    const captured = (await this.#keep()) ?? null
    this.#staged = { ...this.#staged, captured }
    this.#context.step('uncommitted code captured')
    return asStaged(this.#staged)
  }

  async #keep(): Promise<KeptChanges | undefined> {
    const { git, location } = this.#repository
    const context = { git, topLevel: this.#context.top, gitDirectory: location.gitDirectory }
    return keepChanges(context, new Set(this.#staged.exclude), this.#lastKept)
  }

  async forward(): Promise<void> {
    const { lock, git } = this.#context
    if ((await this.inspect()) === 'after') return
    await makeDirectory(this.#staged.asideDirectory)
    await lock.settle()
    if (isReturn(await this.#phase())) await this.back()
    const work = await this.#work()
    const phase = await this.#phase()
    const seen = phase === undefined || phase === 'before' ? await this.#begin(work) : undefined
    // Not moved yet, or not wholly: also when a move was cut between the files and HEAD.
    if (!(phase === 'laying' || ((await isMoved(git, this.#staged)) && (phase === 'moving' || !this.#moves())))) {
      await this.#move(work, seen)
    }
    await this.#enter('laying')
    if (work.overlay) await layOver(this.#context, work, work.overlay)
    await this.#enter('after')
  }

  async #begin(work: Work): Promise<Look> {
    if (!(await isUnmoved(this.#context.git, this.#staged))) throw movedOn(this.#staged)
    const seen = await look(this.#context, work)
    await writePlan(this.#context, work, seen)
    await this.#enter('aside')
    return seen
  }

  /** What is edited between setting aside and moving makes Git refuse; then that is set aside too. */
  async #move(work: Work, seen: Look | undefined): Promise<void> {
    const { git, lock } = this.#context
    if ((await this.#phase()) === 'moving') await this.#undoMove(work)
    for (let attempt = 1; ; attempt++) {
      if (!(await isUnmoved(git, this.#staged))) throw movedOn(this.#staged)
      // A look is of some 100 ms in a large work tree; the one that the plan was made of is fresh enough the first time.
      await setAside(this.#context, work, (attempt === 1 ? seen : undefined) ?? (await look(this.#context, work)))
      await this.#enter('moving')
      try {
        await moveWithFiles(lock, git, this.#staged)
      } catch (error) {
        // A hook that fails after the move is not a move that failed.
        if (!(await isMoved(git, this.#staged))) {
          await lock.settle()
          await this.#undoMove(work)
          if (attempt === attempts || !gitFailure(error)) throw moveFailed(error)
          continue
        }
      }
      this.#context.step('branch, index and files moved')
      return
    }
  }

  /** A move that was cut short, or refused half-way: the files that it had brought go, those that it had taken come back. */
  async #undoMove(work: Work): Promise<void> {
    if (!(await isHeadUnmoved(this.#context.git, this.#staged))) throw movedOn(this.#staged)
    const { newDirectories, stay } = await readPlan(this.#context)
    await moveHeadBack(this.#context.git, this.#staged)
    const untouched = { ...work, overlay: undefined }
    const options = { kind: 'before', leave: new Set(stay), absent: new Set<string>(), newDirectories } as const
    await rollFilesBack(this.#context, untouched, options)
    await this.#enter('aside')
  }

  async back(): Promise<void> {
    const { aside, lock, git, top } = this.#context
    if ((await this.inspect()) === 'before') return
    await lock.settle()
    const phase = await this.#phase()
    if (phase === undefined) throw movedOn(this.#staged)
    if (!isReturn(phase)) await this.#enter(phase === 'aside' ? 'returning' : 'backing')
    await moveHeadBack(git, this.#staged)
    this.#context.step('branch put back')
    const plan = await readPlan(this.#context)
    const home = await aside.atHome()
    const moved = await aside.earliest()
    const work = await this.#work()
    // Before Git moved anything, changed files may stand at their places, not even listed.
    const untouched = (await this.#phase()) === 'returning'
    await rollFilesBack(this.#context, untouched ? { ...work, changes: [], overlay: undefined } : work, {
      kind: 'kept',
      leave: new Set([...plan.stay, ...home]),
      absent: new Set([...moved.keys(), ...plan.deleted.filter((name) => !home.has(name))]),
      newDirectories: plan.newDirectories,
    })
    for (const [name, file] of moved) {
      await removeFile(below(top, name))
      await aside.putBack(name, file)
      this.#context.step('a file put back')
    }
    if (plan.hasIndex) await lock.replaceIndex(await readFile(path.join(this.#staged.asideDirectory, 'index')))
    await lock.run(['update-index', '-q', '--refresh'], { answers: [1] })
    this.#context.step('index put back')
    await aside.retire()
    await this.#enter('before')
  }

  async readBack(): Promise<void> {
    const { git } = this.#context
    if (!(await isMoved(git, this.#staged))) throw damaged(`HEAD is not at ${this.#staged.new.slice(0, 12)}`)
    const { changes, overlay } = await this.#work()
    const wanted = new Map(changes.map((change) => [change.path, { clean: [change.to], raw: undefined }]))
    const laid = overlay ? expectedPaths(await this.#work(), overlay, overlayPaths(overlay)) : new Map()
    for (const name of laid.keys()) {
      wanted.set(name, { clean: [overlay!.fromIndex.get(name)], raw: overlay!.raw.get(name) as undefined })
    }
    for (const [name, found] of await lookAt(this.#context, wanted)) {
      const { clean, raw } = wanted.get(name)!
      const isThere = clean[0] !== undefined || raw !== undefined
      // Where a file goes, a folder may come.
      if (isThere ? found !== 'clean' && found !== 'raw' : found !== 'absent' && found !== 'folder') {
        throw damaged(`${displayPath(name)} is not what the snapshot has`)
      }
    }
  }

  async before(): Promise<CodeRecord> {
    const { git } = this.#context
    const { old, captured } = this.#staged
    const tree = (await readCommits(git, [old])).get(old)!.tree
    const changes = await recordBefore(this.#repository, this.#context, captured ?? undefined, tree)
    return { commit: old, tree, ...(changes ? { changes } : {}) }
  }

  async discard(): Promise<void> {
    await saveLeftovers(this.#repository, this.#context)
    await rm(this.#staged.asideDirectory, { recursive: true, force: true })
  }

  /** Whether HEAD or a branch is elsewhere after. */
  #moves(): boolean {
    return this.#staged.old !== this.#staged.new || this.#staged.headRef !== this.#staged.endRef
  }

  async #work(): Promise<Work> {
    this.#cachedWork ??= await readWork(this.#context.git, this.#staged)
    return this.#cachedWork
  }

  get #phaseFile(): string {
    return path.join(this.#staged.asideDirectory, 'phase')
  }

  async #phase(): Promise<Phase | undefined> {
    const text = await readFile(this.#phaseFile, 'utf8').catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error
    })
    return text as Phase | undefined
  }

  async #enter(phase: Phase): Promise<void> {
    await replaceFile(this.#phaseFile, [Buffer.from(phase)])
    this.#context.step(phase)
  }
}

function isReturn(phase: Phase | undefined): boolean {
  return phase === 'returning' || phase === 'backing'
}

function damaged(message: string): EnvError {
  return new EnvError('damaged', `the code is not as it was to be: ${message}`)
}

function moveFailed(error: unknown): unknown {
  const failure = gitFailure(error)
  if (failure === undefined) return error
  const lines = failure.stderr.trim().split('\n')
  return new EnvError('unavailable', `git could not bring the files: ${lines[0] ?? failure.message}`, { cause: error })
}
