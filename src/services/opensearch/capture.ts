import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Capture, CaptureOptions, ServiceContext } from '../service-driver.ts'
import type { Client } from './client.ts'
import { type Found, findIndices, type LiveIndex, refuseUnsupported } from './definitions.ts'
import { evidenceOf, refresh } from './indices.ts'
import { findOthers, type Others } from './others.ts'
import { Point } from './points.ts'
import { findProduct, type Product } from './product.ts'
import { presentRecord } from './record.ts'
import { shardsOf } from './shards.ts'
import { type Stored, storeDocuments } from './store-documents.ts'

/**
 * Nobody is held: a server has no hold that ends with the process that asked for it (docs/decisions/0016). The point is one refresh of all indices and
 * a point in time of each right after it.
 */
export class IndexCapture implements Capture {
  readonly #client: Client
  readonly #context: ServiceContext
  readonly #sink: ContentSink
  readonly #options: CaptureOptions
  readonly #product: Product
  readonly #points = new Map<string, Point>()
  #indices: readonly LiveIndex[] | undefined
  #evidence: ReadonlyMap<string, string> = new Map()

  private constructor(
    client: Client,
    context: ServiceContext,
    sink: ContentSink,
    options: CaptureOptions,
    product: Product,
  ) {
    this.#client = client
    this.#context = context
    this.#sink = sink
    this.#options = options
    this.#product = product
  }

  static async open(client: Client, context: ServiceContext, sink: ContentSink, options: CaptureOptions) {
    const product = await findProduct(client)
    const found = await findIndices(client)
    refuseUnsupported(found, context.name)
    // So that the refresh at the point has little to do.
    await refresh(
      client,
      [...found.live.values()].map(({ physical }) => physical),
    )
    return new IndexCapture(client, context, sink, options, product)
  }

  /** Nobody waits for us; but others are held while the point is taken, so what can be done ahead of it is. */
  async hold(): Promise<void> {
    const { live } = await findIndices(this.#client)
    this.#indices = [...live.values()]
    // Before the refresh: a write that comes after this shows as later, whether it is in the point or not.
    this.#evidence = await evidenceOf(this.#client, this.#indices)
  }

  async point(): Promise<void> {
    if (!this.#indices) await this.hold()
    const indices = this.#indices!
    await refresh(
      this.#client,
      indices.map(({ physical }) => physical),
    )
    const opened = await Promise.allSettled(
      indices.map(async ({ name, physical }) => {
        this.#points.set(name, await Point.open(this.#client, this.#product, physical))
      }),
    )
    const failed = opened.find((each) => each.status === 'rejected')
    if (failed) throw failed.reason
  }

  /** As they are right after the point; the indices must be the same. */
  async #definitions(): Promise<{ readonly live: Found['live']; readonly others: Others }> {
    const found = await findIndices(this.#client)
    refuseUnsupported(found, this.#context.name)
    if (placesOf([...found.live.values()]) !== placesOf(this.#indices!)) {
      throw new EnvError('busy', `${this.#context.name}: indices were made or removed while the point was taken`, {
        hint: 'run the command again when that is done',
      })
    }
    return { live: found.live, others: await findOthers(this.#client) }
  }

  async release(): Promise<void> {}

  async copy(): Promise<ServiceRecord> {
    const { live, others } = await this.#definitions()
    const { name, privateDirectory } = this.#context
    const stored = new Map<string, Stored>()
    const reading = {
      client: this.#client,
      product: this.#product,
      sink: this.#sink,
      directory: privateDirectory,
      progress: this.#options.progress,
    }
    for (const index of live.values()) {
      const point = this.#points.get(index.name)!
      const shards = shardsOf(index.definition)
      stored.set(index.name, await storeDocuments(reading, point, { name: index.name, shards }))
      this.#points.delete(index.name)
      await point.close()
    }
    const { title, version } = this.#product
    return presentRecord(
      { name, type: this.#client.server.type, level: 'point' },
      { indices: [...live.values()].map(({ definition }) => definition), others },
      stored,
      {
        sink: this.#sink,
        versions: { [title.toLowerCase()]: version },
        facts: { rung: 'point', evidence: this.#evidenceByName() },
      },
    )
  }

  #evidenceByName(): Record<string, string> {
    const told = this.#indices!.flatMap(({ name, physical }) => {
      const evidence = this.#evidence.get(physical)
      return evidence === undefined ? [] : [[name, evidence]]
    })
    return Object.fromEntries(told)
  }

  async close(): Promise<void> {
    const points = [...this.#points.values()]
    this.#points.clear()
    await Promise.all(points.map((point) => point.close()))
    this.#client.close()
  }
}

function placesOf(indices: readonly LiveIndex[]): string {
  return indices.map(({ name, uuid }) => `${name} ${uuid}`).join('\n')
}
