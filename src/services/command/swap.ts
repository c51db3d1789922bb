import { createReadStream, existsSync, rmSync } from 'node:fs'
import path from 'node:path'
import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged, SwapState } from '../../domain/swap.ts'
import { replaceFile, syncDirectory } from '../../system/durable-file.ts'
import type { ServiceContext, ServiceSwap } from '../service-driver.ts'
import { type Commands, dumped, restored } from './commands.ts'
import { dumpRecord } from './record.ts'
import { endRunning, forgetRunning, noteRunning } from './running.ts'
import { newFile, oldFile, removeFolder, type StagedDump, writeDump } from './stage.ts'

const begunMarker = 'begun'
const doneMarker = 'done'

/**
 * A restore by command. Its target cannot be looked at, so marks in the area tell where it stands: `begun` is there from before the restore
 * command first runs until the old dump was given back, `done` from after it ended with status 0. A restore command that is run twice must give the same as once.
 */
export class CommandSwap implements ServiceSwap {
  readonly #commands: Commands
  readonly #context: ServiceContext
  #staged: StagedDump

  constructor(commands: Commands, context: ServiceContext, staged: StagedDump) {
    this.#commands = commands
    this.#context = context
    this.#staged = staged
  }

  async inspect(): Promise<SwapState> {
    if (!this.#has(begunMarker)) return 'before'
    return this.#has(doneMarker) ? 'after' : 'between'
  }

  /** Nobody can be made to wait here, so the dump may as well be taken before others are. */
  async prepare(): Promise<void> {
    if (this.#has(begunMarker)) return
    this.#staged = { ...this.#staged, before: await this.#dumpInto(oldFile) }
  }

  async hold(): Promise<void> {}

  async release(): Promise<void> {}

  async lastCapture(): Promise<Staged> {
    if (this.#staged.before === null) await this.prepare()
    return this.#staged
  }

  async forward(): Promise<void> {
    if ((await this.inspect()) === 'after') return
    await this.#mark(begunMarker)
    await this.#restore(newFile)
    await this.#mark(doneMarker)
  }

  async back(): Promise<void> {
    if (!this.#has(begunMarker)) return
    await this.#unmark(doneMarker)
    await this.#restore(oldFile)
    await this.#unmark(begunMarker)
  }

  /** Where equal data gives equal dumps; elsewhere the command's exit status is all that can be known. */
  async readBack(): Promise<void> {
    if (!this.#commands.compares) return
    const sha256 = await this.#dumpInto('compared')
    this.#remove('compared')
    if (sha256 === this.#staged.sha256) return
    throw new EnvError('damaged', `${this.#context.name}: what was restored gives another dump than was restored`, {
      hint: 'without `compare: true` the status of the restore command decides alone',
    })
  }

  async before(sink: ContentSink): Promise<ServiceRecord> {
    const bytes = createReadStream(this.#at(oldFile), { highWaterMark: 1 << 20 })
    return dumpRecord(this.#context.name, await sink.write('rows', bytes))
  }

  async discard(): Promise<void> {
    await removeFolder(this.#staged.area)
    this.#context.trace('command: staging area removed')
  }

  async #dumpInto(name: string): Promise<string> {
    await endRunning(this.#staged.area)
    const sha256 = await writeDump(this.#at(name), dumped(this.#commands, this.#context))
    this.#context.trace(`command: ${name} dumped`)
    return sha256
  }

  async #restore(name: string): Promise<void> {
    const { area } = this.#staged
    await endRunning(area)
    await restored(this.#at(name), this.#commands, this.#context, (pid) => noteRunning(area, pid))
    forgetRunning(area)
    this.#context.trace(`command: ${name} restored`)
  }

  async #mark(name: string): Promise<void> {
    if (this.#has(name)) return
    await replaceFile(this.#at(name), [])
    this.#context.trace(`command: ${name}`)
  }

  async #unmark(name: string): Promise<void> {
    if (!this.#has(name)) return
    this.#remove(name)
    await syncDirectory(this.#staged.area)
    this.#context.trace(`command: no longer ${name}`)
  }

  #remove(name: string): void {
    rmSync(this.#at(name), { force: true })
  }

  #has(name: string): boolean {
    return existsSync(this.#at(name))
  }

  #at(name: string): string {
    return path.join(this.#staged.area, name)
  }
}
