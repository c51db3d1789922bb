import * as v from 'valibot'
import type { ContentSink, ContentSource } from '../domain/content.ts'
import type { ServiceRecord } from '../domain/manifest.ts'
import type { Staged } from '../domain/swap.ts'
import { Links } from './connection/links.ts'
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
  readonly #context: ServiceContext
  readonly #links: Links<Link>

  constructor(server: Server, context: ServiceContext) {
    this.name = context.name
    this.place = server.place
    this.#context = context
    this.#links = new Links((signal) => new Link(server, signal), context.signal)
  }

  async probe(): Promise<Probe> {
    return this.#links.with(probeDatabase)
  }

  async reserve(): Promise<Reservation> {
    return reserveDatabase(this.#links.open())
  }

  async marker(): Promise<Marker | undefined> {
    return this.#links.with(readMarker)
  }

  async setMarker(marker: Marker): Promise<void> {
    return this.#links.with((link) => writeMarker(link, marker))
  }

  async capture(sink: ContentSink, options: CaptureOptions): Promise<Capture> {
    return DatabaseCapture.open(this.#links.open(), this.#context, sink, options)
  }

  async stage(target: ServiceRecord, live: ServiceRecord, options: StageOptions): Promise<Staged> {
    return this.#links.with((link) => stageDatabase(link, this.#context, { target, live, options }))
  }

  swap(staged: Staged, source?: ContentSource): ServiceSwap {
    // A swap that has begun is finished or taken back, also after Ctrl-C.
    const context = { ...this.#context, signal: new AbortController().signal }
    return openSwap(this.#links.open(context.signal), context, staged, source)
  }

  async sweep(id: string): Promise<void> {
    return this.#links.with((link) => sweepDatabase(link, this.#context, id))
  }

  close(): Promise<void> {
    return this.#links.close()
  }
}
