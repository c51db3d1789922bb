import * as v from 'valibot'
import type { ContentSink, ContentSource } from '../domain/content.ts'
import { EnvError } from '../domain/errors.ts'
import type { ServiceRecord } from '../domain/manifest.ts'
import type { Staged } from '../domain/swap.ts'
import { bytePath } from '../domain/tree.ts'
import { removeArea } from './files/area.ts'
import { reflink } from './files/clones.ts'
import { exportTree } from './files/export.ts'
import { locateMount } from './files/location.ts'
import { foreignBelow, type Mount, Scope } from './files/mount.ts'
import { stagedRoot } from './files/staging.ts'
import type {
  CaptureOptions,
  Probe,
  Project,
  Service,
  ServiceContext,
  ServiceDriver,
  StageOptions,
} from './service-driver.ts'
import { VolumeCapture } from './volume/capture.ts'
import { stageVolume, unhideAll } from './volume/exchange.ts'
import { probeVolume } from './volume/probe.ts'
import { VolumeSwap } from './volume/swap.ts'
import { commandsOf, refuseUnallowed, type Volume } from './volume/volume.ts'

const words = v.pipe(
  v.array(v.string('a command is a list of words, such as [systemctl, stop, queue]')),
  v.minLength(1, 'a command has at least one word'),
)

const schema = v.pipe(
  v.strictObject({
    /** Absolute, or relative to the project; `{env}` stands for the environment's key. */
    path: v.pipe(v.string(), v.minLength(1)),
    /** Patterns of paths below the folder. */
    exclude: v.optional(v.array(v.pipe(v.string(), v.minLength(1)))),
    /** Ends when nobody writes to the folder any more. Both must also work when there is nothing to do. */
    stop: v.optional(words),
    start: v.optional(words),
    /** Seconds that each of them may take. */
    limit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), 60),
  }),
  v.check(({ stop, start }) => (stop === undefined) === (start === undefined), 'stop and start go together'),
)

/** The data folder of a service as a whole: the service is stopped, its files are captured or swapped, and it is started again. */
const volume: ServiceDriver<typeof schema> = {
  type: 'volume',
  kind: 'mount',
  schema,
  detect: async (_project: Project) => [],
  open: async ({ path, exclude = [], stop, start, limit }, context) => {
    const given = { stop, start, limitMs: limit * 1000 }
    refuseUnallowed(given, context)
    const root = locateMount(context.nameHere ?? path.replaceAll('{env}', context.environmentKey), context)
    return new VolumeService(root, exclude, given, context)
  },
  export: exportTree,
}

export default volume

type Given = Parameters<typeof commandsOf>[0]

class VolumeService implements Service {
  readonly name: string
  readonly driver: ServiceDriver = volume as unknown as ServiceDriver
  readonly resources: readonly string[]
  readonly place: string
  readonly #volume: Volume
  readonly #warnings: string[] = []

  constructor(root: string, exclude: readonly string[], given: Given, context: ServiceContext) {
    this.name = context.name
    this.resources = [root]
    this.place = root
    const { privateDirectory, trace, signal, name } = context
    const mountAt = (at: string): Mount => {
      const scope = new Scope(foreignBelow(at, context.foreign), exclude)
      return { name, root: at, scope, privateDirectory, trace, signal }
    }
    const commands = commandsOf(given, context)
    this.#volume = {
      name,
      root: bytePath(root),
      mountAt,
      commands,
      privateDirectory,
      clone: reflink,
      trace,
      warn: (text) => this.#warnings.push(`${name}: ${text}`),
    }
  }

  probe(): Promise<Probe> {
    return probeVolume(this.#volume)
  }

  capture(sink: ContentSink, options: CaptureOptions) {
    return VolumeCapture.prepare(this.#volume, sink, options)
  }

  stage(target: ServiceRecord, live: ServiceRecord, options: StageOptions): Promise<Staged> {
    if (options.only === undefined) return stageVolume(this.#volume, target, live, options)
    throw new EnvError('refused', `${this.name}: a volume is restored whole: its files belong together`, {
      hint: `restore ${this.name} itself`,
    })
  }

  swap(staged: Staged, source?: ContentSource) {
    const root = stagedRoot(staged)
    return new VolumeSwap({ ...this.#volume, root }, staged, source)
  }

  async sweep(id: string): Promise<void> {
    await unhideAll(this.#volume, id)
    await removeArea(this.#volume.mountAt(this.#volume.root), id)
  }

  warnings(): readonly string[] {
    return this.#warnings
  }

  async close(): Promise<void> {}
}
