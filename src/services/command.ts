import * as v from 'valibot'
import type { ContentSink, ContentSource } from '../domain/content.ts'
import { EnvError } from '../domain/errors.ts'
import type { ServiceRecord } from '../domain/manifest.ts'
import type { Staged } from '../domain/swap.ts'
import { CommandCapture } from './command/capture.ts'
import { type Commands, dumpedPlace, refuseUnallowed } from './command/commands.ts'
import { exportDump } from './command/export.ts'
import { probeCommands } from './command/probe.ts'
import { fromStaged, removeArea, stageDump } from './command/stage.ts'
import { CommandSwap } from './command/swap.ts'
import type { CaptureOptions, Service, ServiceContext, ServiceDriver, StageOptions } from './service-driver.ts'

const words = v.pipe(
  v.array(v.pipe(v.string('a command is a list of words, such as [bin/dump, all]'))),
  v.minLength(1, 'a command has at least one word'),
)

const schema = v.strictObject({
  /** Prints all data on standard output, and ends with status 0. In words, `{env}` stands for the environment's key. */
  dump: words,
  /** Reads what `dump` printed from standard input, and makes it all there is. */
  restore: words,
  /** Seconds that each of them may take. */
  limit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), 600),
  /** Whether equal data gives equal bytes: then a restore is compared with a dump of what it made. */
  compare: v.optional(v.boolean(), false),
})

/** Any service that can be dumped and restored by commands of the project's own. What they do, and whether it is whole, they alone know. */
const command: ServiceDriver<typeof schema> = {
  type: 'command',
  kind: 'service',
  schema,
  detect: async () => [],
  open: async ({ dump, restore, limit, compare }, context) => {
    const here = (each: string) => each.replaceAll('{env}', context.environmentKey)
    const commands = { dump: dump.map(here), restore: restore.map(here), limitMs: limit * 1000, compares: compare }
    refuseUnallowed(commands, context)
    return new CommandService(commands, context)
  },
  export: exportDump,
}

export default command

class CommandService implements Service {
  readonly name: string
  readonly driver: ServiceDriver = command as unknown as ServiceDriver
  readonly resources: readonly string[]
  readonly place: string
  readonly #commands: Commands
  readonly #context: ServiceContext

  constructor(commands: Commands, context: ServiceContext) {
    this.name = context.name
    this.resources = [dumpedPlace(commands, context)]
    this.place = `what ${commands.dump.join(' ')} dumps`
    this.#commands = commands
    this.#context = context
  }

  probe() {
    return probeCommands(this.#commands, this.#context)
  }

  async capture(sink: ContentSink, options: CaptureOptions) {
    return new CommandCapture(this.#commands, this.#context, sink, options)
  }

  stage(target: ServiceRecord, _live: ServiceRecord, options: StageOptions) {
    if (options.only === undefined) return stageDump(target, this.#context, options)
    throw new EnvError('refused', `${this.name}: a dump is restored whole`, { hint: `restore ${this.name} itself` })
  }

  swap(staged: Staged, _source?: ContentSource) {
    return new CommandSwap(this.#commands, this.#context, fromStaged(staged))
  }

  sweep(id: string) {
    return removeArea(this.#context, id)
  }

  async close(): Promise<void> {}
}
