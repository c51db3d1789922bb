import { rm } from 'node:fs/promises'
import { EnvError } from '../domain/errors.ts'
import type { CodeRecord } from '../domain/manifest.ts'
import type { Staged, SwapState } from '../domain/swap.ts'
import type { Trace } from '../system/trace.ts'
import { asStaged, type CodeStaged } from './code-plan.ts'
import { readCommits } from './commits.ts'
import type { CodeSwap } from './git-repository.ts'
import { isMoved, isUnmoved, moveBranch, moveBranchBack, movedOn } from './move-head.ts'
import type { RecordContext } from './record.ts'

/** Where no files are touched: a bare repository, or a record alone. */
export class BranchSwap implements CodeSwap {
  readonly #repository: RecordContext
  readonly #staged: CodeStaged
  readonly #trace: Trace

  constructor(repository: RecordContext, staged: CodeStaged, trace: Trace) {
    this.#repository = repository
    this.#staged = staged
    this.#trace = trace
  }

  async inspect(): Promise<SwapState> {
    return (await isMoved(this.#repository.git, this.#staged)) ? 'after' : 'before'
  }

  async hold(): Promise<void> {}
  async release(): Promise<void> {}
  async lastCapture(): Promise<Staged> {
    return asStaged(this.#staged)
  }

  async forward(): Promise<void> {
    if ((await this.inspect()) === 'after') return
    const { git } = this.#repository
    if (!(await isUnmoved(git, this.#staged))) throw movedOn(this.#staged)
    await moveBranch(git, this.#staged)
    this.#trace('code: branch moved')
  }

  async back(): Promise<void> {
    await moveBranchBack(this.#repository.git, this.#staged)
    this.#trace('code: branch put back')
  }

  async readBack(): Promise<void> {
    if ((await this.inspect()) !== 'after')
      throw new EnvError('damaged', `the branch is not at ${this.#staged.new.slice(0, 12)}`)
  }

  async before(): Promise<CodeRecord> {
    const { old } = this.#staged
    return { commit: old, tree: (await readCommits(this.#repository.git, [old])).get(old)!.tree }
  }

  async discard(): Promise<void> {
    await rm(this.#staged.asideDirectory, { recursive: true, force: true })
  }
}
