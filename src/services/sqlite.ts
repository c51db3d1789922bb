import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import * as v from 'valibot'
import type { ContentSink, ContentSource } from '../domain/content.ts'
import type { ServiceRecord } from '../domain/manifest.ts'
import type { Staged } from '../domain/swap.ts'
import type {
  Capture,
  CaptureOptions,
  Exported,
  Probe,
  Service,
  ServiceContext,
  ServiceDriver,
  ServiceSwap,
  StageOptions,
} from './service-driver.ts'
import { find, SqliteCapture } from './sqlite/capture.ts'
import { detectDatabases } from './sqlite/detect.ts'
import { locate } from './sqlite/location.ts'
import { remove } from './sqlite/place.ts'
import { describeFound } from './sqlite/probe.ts'
import { stageDatabase, swapDirectories, writeContent } from './sqlite/stage.ts'
import { asStaged, fromStaged } from './sqlite/staged.ts'
import { InPlaceSwap } from './sqlite/swap-in-place.ts'
import { RenameSwap } from './sqlite/swap-rename.ts'

const schema = v.strictObject({
  /** Relative to the project's folder; `{env}` stands for the environment's key. */
  path: v.pipe(v.string(), v.minLength(1, 'a path is needed')),
})

const sqlite: ServiceDriver<typeof schema> = {
  type: 'sqlite',
  kind: 'service',
  schema,
  detect: detectDatabases,
  open: async (config, context) => new SqliteService(await locate(config.path, context), context),
  export: exportDatabase,
}
export default sqlite

class SqliteService implements Service {
  readonly name: string
  readonly driver = sqlite
  readonly resources: readonly string[]
  readonly place: string
  readonly #file: string
  readonly #context: ServiceContext
  readonly #swaps: (InPlaceSwap | RenameSwap)[] = []

  constructor(file: string, context: ServiceContext) {
    this.name = context.name
    this.resources = [file]
    this.place = file
    this.#file = file
    this.#context = context
  }

  async probe(): Promise<Probe> {
    const found = await find(this.#file, this.#context.signal)
    try {
      return describeFound(this.#file, found)
    } finally {
      await found.session?.worker.rest()
    }
  }

  async capture(sink: ContentSink, options: CaptureOptions): Promise<Capture> {
    const found = await find(this.#file, this.#context.signal)
    return new SqliteCapture(this.#file, this.#context, sink, options, found)
  }

  async stage(target: ServiceRecord, live: ServiceRecord, options: StageOptions): Promise<Staged> {
    return asStaged(await stageDatabase({ file: this.#file, context: this.#context, target, live, options }))
  }

  swap(staged: Staged): ServiceSwap {
    const plan = fromStaged(staged)
    // A swap that has begun is finished or taken back, also after Ctrl-C.
    const context = { ...this.#context, signal: new AbortController().signal }
    const swap = plan.way === 'in place' ? new InPlaceSwap(plan, context) : new RenameSwap(plan, context)
    this.#swaps.push(swap)
    return swap
  }

  async sweep(id: string): Promise<void> {
    const { own, beside } = swapDirectories(this.#file, this.#context.privateDirectory, id)
    await remove(own)
    await remove(beside)
  }

  async close(): Promise<void> {
    for (const swap of this.#swaps) await swap.close()
  }
}

/** `<name>.sqlite`, which any SQLite opens; of a damaged one the raw files, `<name>.sqlite`, `<name>.sqlite-wal`, …. */
async function exportDatabase(record: ServiceRecord, source: ContentSource, directory: string): Promise<Exported[]> {
  await mkdir(directory, { recursive: true })
  const exported: Exported[] = []
  for (const stream of record.streams) {
    const file = `${record.name}.sqlite${stream.name.replace(/^(file|database)/, '')}`
    await writeContent(source, stream, path.join(directory, file))
    exported.push({ stream: stream.name, path: file })
  }
  return exported
}
