import * as v from 'valibot'
import type { ContentSink } from '../domain/content.ts'
import type { ServiceRecord } from '../domain/manifest.ts'
import type { Staged } from '../domain/swap.ts'
import { Links } from './connection/links.ts'
import { MongoCapture } from './mongodb/capture.ts'
import { exportCollections } from './mongodb/export.ts'
import { probeDatabase } from './mongodb/probe.ts'
import { readMarker, reserveDatabase, writeMarker } from './mongodb/reservation.ts'
import { type Server, serverOf } from './mongodb/server.ts'
import { Shell } from './mongodb/shell.ts'
import { asStaged, dropOf, fromStaged, stageCollections } from './mongodb/stage.ts'
import { MongoSwap } from './mongodb/swap.ts'
import type { CaptureOptions, Marker, Service, ServiceContext, ServiceDriver, StageOptions } from './service-driver.ts'

const schema = v.strictObject({
  /** `mongodb://app:${PASSWORD}@host:27017/shop?authSource=admin`, `mongodb+srv://…`; with the options of a connection string, and `?socketPath=`. */
  url: v.pipe(v.string(), v.minLength(1, 'a url is needed')),
  /** What leads to where mongosh, mongodump and mongorestore are: `[docker, compose, exec, -T, mongo]`. */
  run: v.optional(v.pipe(v.array(v.string()), v.minLength(1, 'a command is needed'))),
})

/** One database, by MongoDB's own tools; what is promised, and what only a real server can tell: docs/decisions/0017. */
const mongodb: ServiceDriver<typeof schema> = {
  type: 'mongodb',
  kind: 'service',
  schema,
  detect: async (project) => (await import('./detection/find-services.ts')).detectServers(project, ['mongodb']),
  open: async (config, context) => new MongoService(serverOf(config, context), context),
  export: exportCollections,
}

export default mongodb

class MongoService implements Service {
  readonly name: string
  readonly driver: ServiceDriver = mongodb as unknown as ServiceDriver
  readonly resources: readonly string[] = []
  readonly place: string
  readonly #context: ServiceContext
  readonly #shells: Links<Shell>
  /** mongosh takes a second to start: one for all but swaps. */
  #shell: Shell | undefined

  constructor(server: Server, context: ServiceContext) {
    this.name = context.name
    this.place = server.place
    this.#context = context
    this.#shells = new Links((signal) => new Shell(server, signal), context.signal)
  }

  probe() {
    return probeDatabase(this.#own(), this.#context.signal)
  }

  reserve() {
    return reserveDatabase(this.#own())
  }

  marker() {
    return readMarker(this.#own())
  }

  setMarker(marker: Marker) {
    return writeMarker(this.#own(), marker)
  }

  capture(sink: ContentSink, options: CaptureOptions) {
    return MongoCapture.open(this.#own(), this.#context, sink, options)
  }

  async stage(target: ServiceRecord, _live: ServiceRecord, options: StageOptions): Promise<Staged> {
    return asStaged(await stageCollections(this.#own(), this.#context, target, options))
  }

  swap(staged: Staged) {
    // A swap that has begun is finished or taken back, also after Ctrl-C.
    const context = { ...this.#context, signal: new AbortController().signal }
    return new MongoSwap(fromStaged(staged), this.#shells.open(context.signal), context)
  }

  sweep(id: string) {
    return dropOf(this.#own(), id)
  }

  async close(): Promise<void> {
    this.#shell = undefined
    await this.#shells.close()
  }

  #own(): Shell {
    this.#shell ??= this.#shells.open()
    return this.#shell
  }
}
