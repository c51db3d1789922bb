import * as v from 'valibot'
import type { ContentSink } from '../domain/content.ts'
import type { ServiceRecord } from '../domain/manifest.ts'
import type { Staged } from '../domain/swap.ts'
import { Links } from './connection/links.ts'
import { type Broker, brokerOf } from './rabbitmq/broker.ts'
import { VhostCapture } from './rabbitmq/capture.ts'
import { exportVhost } from './rabbitmq/export.ts'
import { Link } from './rabbitmq/link.ts'
import { probeVhost } from './rabbitmq/probe.ts'
import { withoutMessages } from './rabbitmq/record.ts'
import { readMarker, reserveVhost, writeMarker } from './rabbitmq/reservation.ts'
import { stageVhost } from './rabbitmq/stage.ts'
import { VhostSwap } from './rabbitmq/swap.ts'
import { sweepVhost } from './rabbitmq/sweep.ts'
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
  /** `amqp://user:${PASSWORD}@host/vhost`, `amqps:` with TLS; `cacertfile` and `verify` as RabbitMQ's own clients have them. */
  url: v.pipe(v.string(), v.minLength(1, 'a url is needed')),
  /** Where the management plugin listens, when not on the same host at 15672; a user in it takes the place of the other. */
  management: v.optional(v.string()),
  /** A command that leads to where the broker is, as a list of words. */
  run: v.optional(v.pipe(v.array(v.string()), v.minLength(1, 'a command has at least one word'))),
  /** `spend`: messages of quorum queues with a delivery limit are read, which counts as one delivery. */
  deliveryLimit: v.optional(v.picklist(['leave', 'spend'])),
})

const rabbitmq: ServiceDriver<typeof schema> = {
  type: 'rabbitmq',
  kind: 'service',
  schema,
  detect: async (project) => (await import('./detection/find-services.ts')).detectServers(project, ['rabbitmq']),
  open: async (config, context) => new RabbitmqService(brokerOf(config, context), context),
  export: exportVhost,
  forCopy: withoutMessages,
}
export default rabbitmq

class RabbitmqService implements Service {
  readonly name: string
  readonly driver = rabbitmq
  readonly resources: readonly string[] = []
  readonly place: string
  readonly #context: ServiceContext
  readonly #links: Links<Link>

  constructor(broker: Broker, context: ServiceContext) {
    this.name = context.name
    this.place = broker.place
    this.#context = context
    this.#links = new Links((signal) => new Link(broker, signal), context.signal)
  }

  async probe(): Promise<Probe> {
    return this.#links.with(probeVhost)
  }

  async reserve(): Promise<Reservation> {
    return reserveVhost(this.#links.open())
  }

  async marker(): Promise<Marker | undefined> {
    return this.#links.with(readMarker)
  }

  async setMarker(marker: Marker): Promise<void> {
    return this.#links.with((link) => writeMarker(link, marker))
  }

  async capture(sink: ContentSink, options: CaptureOptions): Promise<Capture> {
    const link = this.#links.open()
    try {
      return await VhostCapture.open(link, this.#context, sink, options)
    } catch (error) {
      await link.close()
      throw error
    }
  }

  async stage(target: ServiceRecord, live: ServiceRecord, options: StageOptions): Promise<Staged> {
    return this.#links.with((link) => stageVhost(link, this.#context, { target, live, options }))
  }

  swap(staged: Staged): ServiceSwap {
    // A swap that has begun is finished or taken back, also after Ctrl-C.
    const context = { ...this.#context, signal: new AbortController().signal }
    return new VhostSwap(this.#links.open(context.signal), context, staged)
  }

  async sweep(id: string): Promise<void> {
    return this.#links.with((link) => sweepVhost(link, this.#context, id))
  }

  close(): Promise<void> {
    return this.#links.close()
  }
}
