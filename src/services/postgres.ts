import * as v from 'valibot'
import type { ContentSink, ContentSource } from '../domain/content.ts'
import type { ServiceRecord } from '../domain/manifest.ts'
import type { Staged } from '../domain/swap.ts'
import { DatabaseCapture } from './postgres/capture.ts'
import { exportDatabase } from './postgres/export.ts'
import { Link } from './postgres/link.ts'
import { probeDatabase } from './postgres/probe.ts'
import { readMarker, reserveDatabase, writeMarker } from './postgres/reservation.ts'
import { type Server, serverOf } from './postgres/server.ts'
import { openSwap, stageDatabase } from './postgres/stage.ts'
import { sweepDatabase } from './postgres/sweep.ts'
import type {
  Capture,
  CaptureOptions,
  Marker,
  Probe,
  Reservation,
  Service,
  ServiceContext,
  ServiceDriver,
  ServiceSwap,
  StageOptions,
} from './service-driver.ts'

const schema = v.strictObject({
  /** `postgres://user:${PASSWORD}@host/database`; `?socketPath=` a Unix socket or its folder, `sslmode`, `sslrootcert`, `sslcert`, `sslkey`. */
  url: v.pipe(v.string(), v.minLength(1, 'a url is needed')),
  /** A command that leads to where the server is, as a list of words. */
  run: v.optional(v.pipe(v.array(v.string()), v.minLength(1, 'a command has at least one word'))),
})

const postgres: ServiceDriver<typeof schema> = {
  type: 'postgres',
  kind: 'service',
  schema,
  detect: async (project) => (await import('./detection/find-services.ts')).detectServers(project, ['postgres']),
  open: async (config, context) => new PostgresService(serverOf(config, context), context),
  export: exportDatabase,
}
export default postgres

class PostgresService implements Service {
  readonly name: string
  readonly driver = postgres
  readonly resources: readonly string[] = []
  readonly place: string
  readonly #server: Server
  readonly #context: ServiceContext
  readonly #links: Link[] = []

  constructor(server: Server, context: ServiceContext) {
    this.name = context.name
    this.place = server.place
    this.#server = server
    this.#context = context
  }

  async probe(): Promise<Probe> {
    return this.#with(probeDatabase)
  }

  async reserve(): Promise<Reservation> {
    return reserveDatabase(this.#link())
  }

  async marker(): Promise<Marker | undefined> {
    return this.#with(readMarker)
  }

  async setMarker(marker: Marker): Promise<void> {
    return this.#with((link) => writeMarker(link, marker))
  }

  async capture(sink: ContentSink, options: CaptureOptions): Promise<Capture> {
    return DatabaseCapture.open(this.#link(), this.#context, sink, options)
  }

  async stage(target: ServiceRecord, live: ServiceRecord, options: StageOptions): Promise<Staged> {
    return this.#with((link) => stageDatabase(link, this.#context, { target, live, options }))
  }

  swap(staged: Staged, source?: ContentSource): ServiceSwap {
    // A swap that has begun is finished or taken back, also after Ctrl-C.
    const context = { ...this.#context, signal: new AbortController().signal }
    return openSwap(this.#link(context.signal), context, staged, source)
  }

  async sweep(id: string): Promise<void> {
    return this.#with((link) => sweepDatabase(link, this.#context, id))
  }

  async close(): Promise<void> {
    for (const link of this.#links.splice(0)) await link.close()
  }

  #link(signal = this.#context.signal): Link {
    const link = new Link(this.#server, signal)
    this.#links.push(link)
    return link
  }

  async #with<T>(task: (link: Link) => Promise<T>): Promise<T> {
    const link = new Link(this.#server, this.#context.signal)
    try {
      return await task(link)
    } finally {
      await link.close()
    }
  }
}
