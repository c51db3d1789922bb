import type { ContentSink } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import { FilesCapture } from '../files/capture.ts'
import type { Capture, CaptureOptions } from '../service-driver.ts'
import { Keeper } from './keeper.ts'
import type { Volume } from './volume.ts'

/**
 * All is read ahead while the service runs. Then it is stopped, what has changed since is read, and it is started again. Without commands, or where
 * nobody called `stop`, the files are taken as they are.
 */
export class VolumeCapture implements Capture {
  readonly #volume: Volume
  readonly #files: FilesCapture
  #keeper: Keeper | undefined
  #stoppedAt: number | undefined
  #stoppedMicros: number | undefined
  #copied: Promise<ServiceRecord> | undefined
  #started: Promise<void> | undefined
  #going: Promise<void> | undefined

  private constructor(volume: Volume, files: FilesCapture) {
    this.#volume = volume
    this.#files = files
  }

  static async prepare(volume: Volume, sink: ContentSink, options: CaptureOptions): Promise<VolumeCapture> {
    return new VolumeCapture(volume, await FilesCapture.prepare(volume.mountAt(volume.root), sink, options))
  }

  async stop(): Promise<void> {
    if (!this.#volume.commands) return
    this.#keeper = await Keeper.open(this.#volume, this.#volume.commands)
    this.#stoppedAt = performance.now()
    await this.#keeper.stop()
    await this.#files.still()
    this.#volume.trace('volume: stopped')
  }

  async hold(): Promise<void> {}

  point(): Promise<void> {
    return this.#files.point()
  }

  async release(): Promise<void> {}

  start(): Promise<void> {
    this.#going ??= this.#keeper ? this.#goOn() : Promise.resolve()
    return this.#going
  }

  async #goOn(): Promise<void> {
    try {
      if (!(await this.#files.keep(this.#volume.clone))) await this.#read()
      this.#volume.trace('volume: may go on')
    } finally {
      await this.#startAgain()
    }
  }

  async copy(): Promise<ServiceRecord> {
    if (this.#stoppedAt === undefined) return asLive(await this.#read())
    // Whoever does not call `start` wants it started all the same.
    await this.start()
    const record = await this.#read()
    if (record.level === 'live') {
      const { stop } = this.#volume.commands!
      this.#volume.warn(`${record.live.slice(0, 3).join(', ')} changed although ${stop.join(' ')} had ended`)
    }
    return { ...record, facts: { ...record.facts, stoppedMicros: this.#stoppedMicros ?? 0 } }
  }

  async close(): Promise<void> {
    await this.#files.close()
    await this.#startAgain()
  }

  #read(): Promise<ServiceRecord> {
    this.#copied ??= this.#files.copy().then(asVolume)
    return this.#copied
  }

  #startAgain(): Promise<void> {
    this.#started ??= this.#startNow()
    return this.#started
  }

  async #startNow(): Promise<void> {
    const failure = await this.#keeper?.start()
    if (this.#stoppedAt !== undefined) this.#stoppedMicros = Math.round((performance.now() - this.#stoppedAt) * 1000)
    if (failure !== undefined) this.#volume.warn(failure)
  }
}

export function asVolume(record: ServiceRecord): ServiceRecord {
  return { ...record, type: 'volume' }
}

function asLive(record: ServiceRecord): ServiceRecord {
  return { ...record, level: 'live', live: record.live.length > 0 ? record.live : ['.'] }
}
