import { chownSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import type { ContentSink } from '../../src/domain/content.ts'
import type { ServiceRecord } from '../../src/domain/manifest.ts'
import type { Staged } from '../../src/domain/swap.ts'
import { decodeTree, type TreeEntry } from '../../src/domain/tree.ts'
import files from '../../src/services/files.ts'
import type { CaptureOptions, Service, ServiceContext } from '../../src/services/service-driver.ts'
import { collect, MemoryContent } from './memory-content.ts'
import { temporaryDirectory } from './temporary.ts'

export const restoreId = '01j00000000000000000000000'

type BenchOptions = {
  readonly path?: string
  readonly exclude?: readonly string[]
  readonly context?: Partial<ServiceContext>
}

/** A project with one mount, `media`, and all that its service needs around it. */
export class MountBench {
  readonly project: string
  readonly root: string
  readonly privateDirectory: string
  readonly content = new MemoryContent()
  readonly #options: BenchOptions

  private constructor(place: string, options: BenchOptions) {
    this.project = path.join(place, 'project')
    this.privateDirectory = path.join(place, 'private')
    this.root = path.resolve(this.project, options.path ?? 'media')
    this.#options = options
    mkdirSync(this.project)
  }

  static async open(options: BenchOptions = {}): Promise<MountBench> {
    return new MountBench(await temporaryDirectory(), options)
  }

  file(name: string): string {
    return path.join(this.root, name)
  }

  get context(): ServiceContext {
    return {
      name: 'media',
      environmentKey: 'main-00000000',
      projectDirectory: this.project,
      forbidden: [],
      privateDirectory: this.privateDirectory,
      allowed: false,
      foreign: new Set(),
      nameHere: undefined,
      variable: () => undefined,
      commands: { environment: process.env, secrets: [] },
      trace() {},
      signal: new AbortController().signal,
      ...this.#options.context,
    }
  }

  /** A service of its own each time, as another process would open it. */
  service(context: Partial<ServiceContext> = {}): Promise<Service> {
    const { path: configured = 'media', exclude } = this.#options
    const config = { path: configured, ...(exclude ? { exclude: [...exclude] } : {}) }
    return files.open(config, { ...this.context, ...context })
  }

  /** With something done between the steps. */
  async capture(
    steps: {
      readonly beforePoint?: () => void
      readonly afterPoint?: () => void
      readonly sink?: ContentSink
      readonly options?: Partial<CaptureOptions>
    } = {},
  ): Promise<ServiceRecord> {
    const options = { damage: 'keep', live: false, progress() {}, ...steps.options } as const
    const capture = await (await this.service()).capture(steps.sink ?? this.content, options)
    await capture.hold(1000)
    steps.beforePoint?.()
    if (steps.beforePoint) await settled()
    await capture.point()
    await capture.release()
    steps.afterPoint?.()
    const record = await capture.copy()
    await capture.close()
    return record
  }

  async stage(target: ServiceRecord, live?: ServiceRecord, only?: readonly string[]): Promise<Staged> {
    const safety = live ?? (await this.capture())
    const service = await this.service()
    const more = only ? { only } : {}
    const staged = await service.stage(target, safety, { source: this.content, id: restoreId, progress() {}, ...more })
    return JSON.parse(JSON.stringify(staged)) as Staged
  }

  async swap(staged: Staged, context: Partial<ServiceContext> = {}) {
    return (await this.service(context)).swap(staged, this.content)
  }

  /** A whole restore; gives the record of what it replaced. */
  async restore(
    target: ServiceRecord,
    options: {
      readonly only?: readonly string[]
      readonly staged?: () => void
      readonly prepared?: () => void
      readonly captured?: () => void
      readonly swapped?: () => void
    } = {},
  ): Promise<ServiceRecord> {
    const safety = await this.capture()
    const staged = await this.stage(target, safety, options.only)
    options.staged?.()
    const swap = await this.swap(staged)
    await swap.prepare?.()
    options.prepared?.()
    await swap.lastCapture()
    options.captured?.()
    await swap.forward()
    options.swapped?.()
    await swap.readBack()
    const before = await swap.before(this.content, safety)
    await swap.discard()
    return before
  }

  /** The listing of a record, by path. */
  async entries(record: ServiceRecord): Promise<Map<string, TreeEntry>> {
    const entries = await collect(decodeTree(this.content.read(record.streams[0]!.content)))
    return new Map(entries.map((entry) => [entry.path, entry]))
  }

  async text(record: ServiceRecord, name: string): Promise<string | undefined> {
    const content = (await this.entries(record)).get(name)?.content
    return content && Buffer.concat(await collect(this.content.read(content))).toString('utf8')
  }
}

/** Until a change would get another time stamp than what was written before. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 25))
}

/** The rest of the test runs as a user who is not root, to whom the folders are given. */
export function becomeOrdinaryUser(...folders: readonly string[]): void {
  if (process.geteuid!() !== 0) return
  for (const folder of folders) chownSync(folder, 65534, 65534)
  process.setegid!(65534)
  process.seteuid!(65534)
  onTestFinished(() => {
    process.seteuid!(0)
    process.setegid!(0)
  })
}
