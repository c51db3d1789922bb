import type { ContentSink } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Capture, CaptureOptions, ServiceContext } from '../service-driver.ts'
import { type Commands, dumped } from './commands.ts'
import { dumpRecord } from './record.ts'

/** Runs the dump command right after the point, while the others are copied. Nobody can be made to wait for it, so the dump is `live`. */
export class CommandCapture implements Capture {
  readonly #commands: Commands
  readonly #context: ServiceContext
  readonly #sink: ContentSink
  readonly #options: CaptureOptions
  readonly #given = new AbortController()

  constructor(commands: Commands, context: ServiceContext, sink: ContentSink, options: CaptureOptions) {
    this.#commands = commands
    this.#context = context
    this.#sink = sink
    this.#options = options
  }

  async hold(): Promise<void> {}

  async point(): Promise<void> {}

  async release(): Promise<void> {}

  async copy(): Promise<ServiceRecord> {
    const signal = AbortSignal.any([this.#context.signal, this.#given.signal])
    const bytes = counted(dumped(this.#commands, { ...this.#context, signal }), this.#options.progress)
    return dumpRecord(this.#context.name, await this.#sink.write('rows', bytes))
  }

  async close(): Promise<void> {
    this.#given.abort()
  }
}

async function* counted(parts: AsyncIterable<Uint8Array>, progress: (bytes: number) => void) {
  for await (const part of parts) {
    progress(part.length)
    yield part
  }
}
