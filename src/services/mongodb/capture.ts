import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Capture, CaptureOptions, ServiceContext } from '../service-driver.ts'
import { findCollections, refuseUnsupported } from './collections.ts'
import { type Stored, storeDocuments } from './documents.ts'
import { refuseCluster, versionOf } from './probe.ts'
import { recordOf } from './record.ts'
import type { Shell } from './shell.ts'

/** Nobody is held (docs/decisions/0017): the collections are dumped right after the point, one after the other, while others write. */
export class MongoCapture implements Capture {
  readonly #shell: Shell
  readonly #context: ServiceContext
  readonly #sink: ContentSink
  readonly #options: CaptureOptions
  readonly #given = new AbortController()

  constructor(shell: Shell, context: ServiceContext, sink: ContentSink, options: CaptureOptions) {
    this.#shell = shell
    this.#context = context
    this.#sink = sink
    this.#options = options
  }

  /** What cannot be taken is said before anybody is held. */
  static async open(shell: Shell, context: ServiceContext, sink: ContentSink, options: CaptureOptions) {
    await refuseCluster(shell)
    refuseUnsupported(await findCollections(shell), context.name)
    return new MongoCapture(shell, context, sink, options)
  }

  async hold(): Promise<void> {}

  async point(): Promise<void> {}

  async release(): Promise<void> {}

  async copy(): Promise<ServiceRecord> {
    const { name, signal } = this.#context
    const reading = {
      sink: this.#sink,
      signal: AbortSignal.any([signal, this.#given.signal]),
      progress: this.#options.progress,
    }
    const found = await findCollections(this.#shell)
    refuseUnsupported(found, name)
    const stored = new Map<string, Stored>()
    for (const each of found.live.keys()) stored.set(each, await storeDocuments(this.#shell.server, each, reading))
    // mongodump says nothing of a collection that is gone.
    const { live } = await findCollections(this.#shell)
    const changed = [...found.live].find(([each, { uuid }]) => live.get(each)?.uuid !== uuid)
    if (changed) {
      throw new EnvError('busy', `${name}: ${changed[0]} was dropped or made anew while it was read`, {
        hint: 'run the command again when that is done',
      })
    }
    const definitions = [...[...found.live.values()].map(({ definition }) => definition), ...found.views.values()]
    return recordOf(name, definitions, stored, { sink: this.#sink, version: await versionOf(this.#shell) })
  }

  async close(): Promise<void> {
    this.#given.abort()
  }
}
