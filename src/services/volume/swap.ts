import type { ContentSink, ContentSource } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged, SwapState } from '../../domain/swap.ts'
import type { FilesSwap } from '../files/swap.ts'
import type { ServiceSwap } from '../service-driver.ts'
import { asVolume } from './capture.ts'
import { Exchange } from './exchange.ts'
import { Keeper, othersGone } from './keeper.ts'
import type { Volume } from './volume.ts'
import { untilNobodyWrites } from './writers.ts'

export class VolumeSwap implements ServiceSwap {
  readonly #volume: Volume
  readonly #source: ContentSource | undefined
  #staged: Staged
  /** Remembers what it read ahead. */
  #files: FilesSwap | undefined
  #keeper: Keeper | undefined
  /** What the last look found, while nobody can have written since. */
  #last: Staged | undefined

  constructor(volume: Volume, staged: Staged, source: ContentSource | undefined) {
    this.#volume = volume
    this.#staged = staged
    this.#source = source
  }

  get #exchange(): Exchange {
    return new Exchange(this.#volume.mountAt, this.#staged, this.#source)
  }

  async inspect(): Promise<SwapState> {
    await this.#othersGone()
    return this.#exchange.inspect()
  }

  async prepare(): Promise<void> {
    await this.#othersGone()
    // Cut short, it is for `lastCapture` to look again.
    if ((await this.#exchange.inspect()) !== 'before') return
    this.#files = this.#exchange.files()
    await this.#files.prepare()
  }

  async stop(): Promise<void> {
    const { commands, trace } = this.#volume
    if (!commands || this.#keeper) return
    const keeper = await Keeper.open(this.#volume, commands)
    await keeper.swapping(this.#staged)
    this.#keeper = keeper
    await keeper.stop()
    await untilNobodyWrites(this.#volume, commands)
    trace('volume: stopped')
    // Nobody else waits yet, and nobody writes any more: the last look may as well be now.
    if ((await this.inspect()) !== 'after') this.#last = await this.#look()
  }

  async hold(): Promise<void> {}

  async release(): Promise<void> {}

  async start(): Promise<void> {
    const keeper = this.#keeper
    this.#keeper = undefined
    this.#last = undefined
    const failure = await keeper?.start()
    if (failure !== undefined) this.#volume.warn(failure)
    if (keeper) this.#volume.trace('volume: started')
  }

  async lastCapture(): Promise<Staged> {
    return this.#last ?? this.#look()
  }

  async #look(): Promise<Staged> {
    await this.#othersGone()
    this.#exchange.show()
    this.#files ??= this.#exchange.files()
    this.#staged = { ...(await this.#files.lastCapture()) }
    await this.#keeper?.swapping(this.#staged)
    return this.#staged
  }

  async forward(): Promise<void> {
    if ((await this.inspect()) !== 'after') await this.#exchange.forward()
  }

  async back(): Promise<void> {
    if ((await this.inspect()) !== 'before') await this.#exchange.back()
  }

  readBack(): Promise<void> {
    return this.#exchange.files().readBack()
  }

  async before(sink: ContentSink, safety: ServiceRecord): Promise<ServiceRecord> {
    return asVolume(await this.#exchange.files().before(sink, safety))
  }

  async discard(): Promise<void> {
    this.#exchange.show()
    await this.#exchange.files().discard()
  }

  /** The keeper of a process that died may be at work on the same files. */
  async #othersGone(): Promise<void> {
    const { commands } = this.#volume
    if (commands && !this.#keeper) await othersGone(this.#volume, commands)
  }
}
