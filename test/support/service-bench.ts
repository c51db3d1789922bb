import { mkdir, readdir } from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished } from 'vitest'
import type { ServiceRecord } from '../../src/domain/manifest.ts'
import type { Staged } from '../../src/domain/swap.ts'
import { loadDriver } from '../../src/services/registry.ts'
import type { Service, ServiceSwap } from '../../src/services/service-driver.ts'
import type { DriverSample, LiveSample } from '../contract/service-driver.ts'
import { compiledEnvironment } from './compiled.ts'
import { MemoryContent } from './memory-content.ts'
import { type SwapJob, startSwapProcess } from './swap-process.ts'
import { temporaryDirectory } from './temporary.ts'

export const restoreId = '01j00000000000000000000000'

/** One live sample with all that a driver needs around it. */
export class ServiceBench {
  readonly live: LiveSample
  readonly content = new MemoryContent()
  readonly #type: string
  readonly #privateDirectory: string
  readonly #services: Service[] = []

  private constructor(type: string, live: LiveSample, privateDirectory: string) {
    this.#type = type
    this.live = live
    this.#privateDirectory = privateDirectory
  }

  static async open(sample: DriverSample): Promise<ServiceBench> {
    const place = await temporaryDirectory()
    await mkdir(path.join(place, 'private'))
    const bench = new ServiceBench(sample.type, await sample.create(), path.join(place, 'private'))
    onTestFinished(async () => {
      for (const service of bench.#services) await service.close()
    })
    return bench
  }

  get context(): SwapJob['context'] {
    return {
      name: 'sample',
      environmentKey: 'main-00000000',
      nameHere: undefined,
      projectDirectory: this.live.projectDirectory,
      forbidden: [],
      privateDirectory: this.#privateDirectory,
      allowed: false,
      ...this.live.context,
    }
  }

  /** A service of its own each time, as another process would open it. */
  async service(): Promise<Service> {
    const driver = await loadDriver(this.#type)
    const signal = new AbortController().signal
    const variable = (name: string) => process.env[name]
    const commands = { environment: compiledEnvironment, secrets: [] }
    const context = { ...this.context, foreign: new Set<string>(), variable, commands, trace() {}, signal }
    const service = await driver.open(this.live.config, context)
    this.#services.push(service)
    return service
  }

  async probe() {
    return (await this.service()).probe()
  }

  async capture(damage: 'keep' | 'refuse' = 'keep', meanwhile = async () => {}): Promise<ServiceRecord> {
    const service = await this.service()
    const capture = await service.capture(this.content, { damage, live: false, progress() {} })
    try {
      await capture.stop?.()
      await capture.hold(5000)
      await capture.point()
      await capture.release()
      await capture.start?.()
      const [record] = await Promise.all([capture.copy(), meanwhile()])
      return record
    } finally {
      await capture.close()
      await service.close()
    }
  }

  async stage(target: ServiceRecord, safety?: ServiceRecord, only?: readonly string[]): Promise<Staged> {
    const live = safety ?? (await this.capture())
    const service = await this.service()
    const staged = await service.stage(target, live, {
      source: this.content,
      id: restoreId,
      progress() {},
      ...(only ? { only } : {}),
    })
    await service.close()
    return JSON.parse(JSON.stringify(staged)) as Staged
  }

  async swap(staged: Staged): Promise<ServiceSwap> {
    return (await this.service()).swap(staged, this.content)
  }

  /** What is left of a swap, from any state to `after`. */
  async finish(swap: ServiceSwap): Promise<void> {
    await swap.prepare?.()
    await swap.stop?.()
    await swap.hold(5000)
    if ((await swap.inspect()) !== 'after') await swap.lastCapture()
    await swap.forward()
    expect(await swap.inspect()).toBe('after')
    await swap.catchUp?.()
    await swap.readBack()
    await swap.release()
    await swap.start?.()
  }

  /** A whole restore; gives the record of what it replaced. */
  async restore(target: ServiceRecord, meanwhile = async () => {}, only?: readonly string[]): Promise<ServiceRecord> {
    const safety = await this.capture()
    const swap = await this.swap(await this.stage(target, safety, only))
    await meanwhile()
    await this.finish(swap)
    const before = await swap.before(this.content, safety)
    await swap.discard()
    return before
  }

  /** Runs a part of a swap in another process, which is killed there. */
  async elsewhere(job: Pick<SwapJob, 'task' | 'staged' | 'killAtStep'>) {
    return startSwapProcess({
      ...job,
      chunks: this.content.asText(),
      type: this.#type,
      config: this.live.config,
      context: this.context,
    })
  }

  /** What carries the restore's id, in our own folder, in the project and in the server. */
  async leftOver(): Promise<string[]> {
    const names = await Promise.all(
      [this.#privateDirectory, this.live.projectDirectory].map((directory) => readdir(directory, { recursive: true })),
    )
    const inServer = (await this.live.leftOver?.(restoreId)) ?? []
    return [...names.flat().filter((name) => name.includes(restoreId)), ...inServer]
  }
}
