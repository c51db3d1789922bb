import * as v from 'valibot'
import type { ContentSink } from '../domain/content.ts'
import type { ServiceRecord } from '../domain/manifest.ts'
import type { Staged } from '../domain/swap.ts'
import { RedisCapture } from './redis/capture.ts'
import { Connection } from './redis/connection.ts'
import { detectIndexes } from './redis/detect.ts'
import { exportKeys } from './redis/export.ts'
import { probeServer } from './redis/probe.ts'
import { reserveIndex } from './redis/reservation.ts'
import { type Server, serverOf } from './redis/server.ts'
import { stageKeys, sweepIndexes } from './redis/stage.ts'
import { asStaged, fromStaged } from './redis/staged.ts'
import { RedisSwap } from './redis/swap.ts'
import type {
  Capture,
  CaptureOptions,
  Probe,
  Reservation,
  Service,
  ServiceContext,
  ServiceDriver,
  ServiceSwap,
  StageOptions,
} from './service-driver.ts'

const schema = v.strictObject({
  /** `redis://user:${PASSWORD}@host:port/index`, `rediss:` for TLS with `?sslCa=`; `?socketPath=`. Without an index: the whole server. */
  url: v.pipe(v.string(), v.minLength(1, 'a url is needed')),
  /** An empty index that nothing else uses: a restore of one index is staged in it, and what was live lies there until it is settled. */
  spare: v.optional(
    v.pipe(v.number(), v.integer('an index is a whole number'), v.minValue(0, 'an index is not negative')),
  ),
  /** A command that leads to where the server is, as a list of words. */
  run: v.optional(v.pipe(v.array(v.string()), v.minLength(1, 'a command has at least one word'))),
})

/** Redis and Valkey: one index of a server, or all of it. */
const redis: ServiceDriver<typeof schema> = {
  type: 'redis',
  kind: 'service',
  schema,
  detect: detectIndexes,
  open: async (config, context) => new RedisService(serverOf(config, context), context),
  export: exportKeys,
}
export default redis

class RedisService implements Service {
  readonly name: string
  readonly driver = redis
  readonly resources: readonly string[] = []
  readonly place: string
  readonly #server: Server
  readonly #context: ServiceContext
  readonly #open: { close(): void | Promise<void> }[] = []

  constructor(server: Server, context: ServiceContext) {
    this.name = context.name
    this.place = server.place
    this.#server = server
    this.#context = context
  }

  probe(): Promise<Probe> {
    return probeServer(this.#server, this.#context)
  }

  async reserve(): Promise<Reservation> {
    const reservation = await reserveIndex(this.#server, this.#context)
    this.#open.push({ close: () => reservation.release() })
    return reservation
  }

  async capture(sink: ContentSink, options: CaptureOptions): Promise<Capture> {
    const capture = await RedisCapture.open(this.#server, this.#context, sink, options)
    this.#open.push(capture)
    return capture
  }

  async stage(target: ServiceRecord, _live: ServiceRecord, options: StageOptions): Promise<Staged> {
    return asStaged(await stageKeys(this.#server, this.#context, { target, options }))
  }

  swap(staged: Staged): ServiceSwap {
    // A swap that has begun is finished or taken back, also after Ctrl-C.
    const context = { ...this.#context, signal: new AbortController().signal }
    const swap = new RedisSwap(this.#server, context, fromStaged(staged))
    this.#open.push(swap)
    return swap
  }

  async sweep(id: string): Promise<void> {
    const connection = await Connection.open(this.#server, this.#context.signal)
    try {
      await sweepIndexes(this.#server, this.#context, id, connection)
    } finally {
      connection.destroy()
    }
  }

  async close(): Promise<void> {
    for (const each of this.#open.splice(0)) await each.close()
  }
}
