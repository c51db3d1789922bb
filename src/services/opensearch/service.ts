import * as v from 'valibot'
import type { ContentSink, ContentSource } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged } from '../../domain/swap.ts'
import { Links } from '../connection/links.ts'
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
} from '../service-driver.ts'
import { IndexCapture } from './capture.ts'
import { Client } from './client.ts'
import { findIndices } from './definitions.ts'
import { exportIndices } from './export.ts'
import { dropIndex } from './indices.ts'
import { parseOwnName } from './names.ts'
import { probeIndices } from './probe.ts'
import { readMarker, reserveIndices, writeMarker } from './reservation.ts'
import { type Server, serverOf } from './server.ts'
import { stageIndices } from './stage.ts'
import { asStaged, fromStaged } from './staged.ts'
import { IndexSwap } from './swap.ts'

const names = v.array(v.string())

const schema = v.strictObject({
  /** `https://user:${PASSWORD}@host:9200`, with a path where a proxy wants one; `?socketPath=`, and for TLS `tls=unverified`, `ca=<file>`. */
  url: v.pipe(v.string(), v.minLength(1, 'a url is needed')),
  /** What leads to where the server is: `[docker, compose, exec, -T, search]`. */
  run: v.optional(v.pipe(v.array(v.string()), v.minLength(1, 'a command is needed'))),
  /** The project's own, a server being shared: names, `*` for any characters, `{env}` for the environment's key. */
  indices: v.pipe(names, v.minLength(1, 'name the indices of the project, such as [products*]')),
  /** Index templates and component templates. */
  templates: v.optional(names),
  pipelines: v.optional(names),
})

/** One driver for both products: which one a server is, it says itself. */
export function searchDriver(type: Server['type']): ServiceDriver<typeof schema> {
  const driver: ServiceDriver<typeof schema> = {
    type,
    kind: 'service',
    schema,
    detect: async (project) => (await import('../detection/find-services.ts')).detectServers(project, [type]),
    open: async (config, context) => new SearchService(driver, serverOf(config, context, type), context),
    export: exportIndices,
  }
  return driver
}

class SearchService implements Service {
  readonly name: string
  readonly driver: ServiceDriver
  readonly resources: readonly string[] = []
  readonly place: string
  readonly #context: ServiceContext
  readonly #clients: Links<Client>

  constructor(driver: ServiceDriver<typeof schema>, server: Server, context: ServiceContext) {
    this.driver = driver as unknown as ServiceDriver
    this.name = context.name
    this.place = server.place
    this.#context = context
    this.#clients = new Links((signal) => new Client(server, signal), context.signal)
  }

  probe(): Promise<Probe> {
    return this.#clients.with(probeIndices)
  }

  reserve(): Promise<Reservation> {
    return reserveIndices(this.#clients.open())
  }

  marker(): Promise<Marker | undefined> {
    return this.#clients.with(readMarker)
  }

  setMarker(marker: Marker): Promise<void> {
    return this.#clients.with((client) => writeMarker(client, marker))
  }

  capture(sink: ContentSink, options: CaptureOptions): Promise<Capture> {
    return IndexCapture.open(this.#clients.open(), this.#context, sink, options)
  }

  stage(target: ServiceRecord, live: ServiceRecord, options: StageOptions): Promise<Staged> {
    return this.#clients.with(async (client) =>
      asStaged(await stageIndices(client, this.#context, { target, live, options })),
    )
  }

  swap(staged: Staged, source?: ContentSource): ServiceSwap {
    // A swap that has begun is finished or taken back, also after Ctrl-C.
    const context = { ...this.#context, signal: new AbortController().signal }
    return new IndexSwap(fromStaged(staged), this.#clients.open(context.signal), context, source)
  }

  sweep(id: string): Promise<void> {
    return this.#clients.with(async (client) => {
      for (const [physical, { aliases }] of (await findIndices(client)).ours) {
        if (aliases.size === 0 && parseOwnName(physical)!.id === id) await dropIndex(client, physical)
      }
    })
  }

  close(): Promise<void> {
    return this.#clients.close()
  }
}
