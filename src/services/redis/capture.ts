import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { Level, ServiceRecord } from '../../domain/manifest.ts'
import type { Capture, CaptureOptions, ServiceContext } from '../service-driver.ts'
import { Connection } from './connection.ts'
import { denied, indexSizes, info, type ServerFacts, serverFacts } from './facts.ts'
import { KeySorter } from './key-sorter.ts'
import { claimPrefix } from './keys.ts'
import { Pause } from './pause.ts'
import { readFunctionPayload } from './payload.ts'
import { encodeFunctions, type KeyRecord, type KeysContent, recordOf } from './records.ts'
import { Replica } from './replica.ts'
import { RefusedReply } from './replies.ts'
import { scanIndex } from './scan.ts'
import type { Server } from './server.ts'

/** One capture: by a dump of the moment that the server gives to a replica, or, where it gives none, key by key. */
export class RedisCapture implements Capture {
  readonly #server: Server
  readonly #context: ServiceContext
  readonly #sink: ContentSink
  readonly #options: CaptureOptions
  readonly #connection: Connection
  readonly #facts: ServerFacts
  readonly #pause: Pause
  #replica: Replica | undefined
  #isPoint = false
  #wasHeld = false
  readonly #sorters = new Map<number, KeySorter>()
  readonly #claimed = new Set<number>()
  readonly #libraries: Buffer[] = []

  private constructor(
    server: Server,
    context: ServiceContext,
    sink: ContentSink,
    options: CaptureOptions,
    opened: { readonly connection: Connection; readonly facts: ServerFacts; readonly replica: Replica | undefined },
  ) {
    this.#server = server
    this.#context = context
    this.#sink = sink
    this.#options = options
    this.#connection = opened.connection
    this.#facts = opened.facts
    this.#replica = opened.replica
    this.#pause = new Pause(opened.connection, server.name)
  }

  static async open(
    server: Server,
    context: ServiceContext,
    sink: ContentSink,
    options: CaptureOptions,
  ): Promise<RedisCapture> {
    const connection = await Connection.open(server, context.signal)
    try {
      const facts = await serverFacts(connection, server.name)
      refuseCluster(facts, server.name)
      if (server.index !== undefined) await selectIndex(connection, server, server.index)
      const replica = await Replica.open(server, context.signal)
      return new RedisCapture(server, context, sink, options, { connection, facts, replica })
    } catch (error) {
      connection.destroy()
      throw error
    }
  }

  async hold(limitMs: number): Promise<void> {
    // A replica's data comes from its master, which no pause here stops.
    if (this.#facts.isReplica) return
    const deadline = performance.now() + limitMs
    this.#replica ??= await Replica.open(this.#server, this.#context.signal)
    while (this.#replica && (await this.#savesInBackground()) && performance.now() < deadline - 10) await sleep(10)
    if (!(await this.#pause.begin(Math.max(10, deadline - performance.now())))) return
    if (!this.#replica || !(await this.#savesInBackground())) return
    await this.#pause.end()
    throw new EnvError('busy', `${this.#server.name}: the server saves in the background, and forks no second time`, {
      hint: 'wait until that is done, then run the command again',
    })
  }

  async point(): Promise<void> {
    if (this.#replica) {
      const offset = Number((await info(this.#connection, this.#server.name, 'replication')).get('master_repl_offset'))
      try {
        this.#isPoint = await this.#replica.point(offset, this.#pause.isHeld)
      } finally {
        if (!this.#isPoint) {
          this.#replica.close()
          this.#replica = undefined
        }
      }
    }
    this.#wasHeld = this.#pause.isHeld
  }

  async release(): Promise<void> {
    await this.#pause.end()
  }

  async copy(): Promise<ServiceRecord> {
    const { name, index } = this.#server
    if (this.#isPoint) await this.#readDump()
    else await this.#readKeys()
    const indexes: KeysContent[] = []
    for (const [nr, sorter] of [...this.#sorters].sort(([a], [b]) => a - b)) {
      // Of a restore that is not settled yet: staged, or set aside.
      if (this.#claimed.has(nr)) continue
      const content = await this.#sink.write('rows', sorter.sorted())
      indexes.push({ index: index === undefined ? nr : undefined, keys: sorter.count, content })
    }
    const functions =
      index === undefined && this.#libraries.length > 0
        ? {
            content: await this.#sink.write('rows', encodeFunctions(this.#libraries)),
            count: this.#libraries.length,
          }
        : undefined
    const { product, version } = this.#facts
    const level: Level = this.#isPoint ? (this.#wasHeld ? 'frozen' : 'point') : 'live'
    const live =
      level === 'live' ? indexes.map((each) => (each.index === undefined ? 'keys' : `index ${each.index}`)) : []
    const isWhole = index === undefined
    return recordOf({ name, level, live: live.sort(), versions: { [product]: version }, isWhole }, indexes, functions)
  }

  async close(): Promise<void> {
    if (!this.#connection.ended) await this.#pause.end().catch(() => {})
    this.#pause.stop()
    this.#replica?.close()
    this.#connection.destroy()
    for (const sorter of this.#sorters.values()) sorter.close()
    this.#sorters.clear()
  }

  async #readDump(): Promise<void> {
    const { index } = this.#server
    await this.#replica!.read({
      key: (nr, record) => {
        if (index === undefined || index === nr) this.#add(nr, record)
      },
      library: (code) => this.#libraries.push(Buffer.from(code)),
      progress: this.#options.progress,
    })
    this.#replica!.close()
  }

  async #readKeys(): Promise<void> {
    const { name, index } = this.#server
    const sizes = index === undefined ? await indexSizes(this.#connection) : []
    const used = index === undefined ? [...sizes.keys()].filter((nr) => sizes[nr]! > 0) : [index]
    for (const nr of used) {
      await scanIndex({
        connection: this.#connection,
        name,
        index: nr,
        add: (record) => this.#add(nr, record),
        progress: this.#options.progress,
        signal: this.#context.signal,
      })
    }
    if (index === undefined) this.#libraries.push(...(await readLibraries(this.#connection, name)))
  }

  #add(nr: number, record: KeyRecord): void {
    if (record.key.indexOf(claimPrefix) === 0) this.#claimed.add(nr)
    let sorter = this.#sorters.get(nr)
    if (!sorter) {
      sorter = new KeySorter(this.#context.privateDirectory)
      this.#sorters.set(nr, sorter)
    }
    sorter.add(record)
  }

  /** The server has one child at a time. */
  async #savesInBackground(): Promise<boolean> {
    const state = await info(this.#connection, this.#server.name, 'persistence')
    return state.get('rdb_bgsave_in_progress') === '1' || state.get('aof_rewrite_in_progress') === '1'
  }
}

export async function readLibraries(connection: Connection, name: string): Promise<Buffer[]> {
  const [reply] = await connection.batch([['FUNCTION', 'DUMP']])
  if (!(reply instanceof RefusedReply)) return readFunctionPayload(reply as Buffer)
  if (reply.isDenied) throw denied(name, 'function', reply)
  throw reply
}

export async function selectIndex(connection: Connection, { name }: Server, index: number): Promise<void> {
  const [reply] = await connection.batch([['SELECT', index]])
  if (!(reply instanceof RefusedReply)) return
  if (reply.isDenied) throw denied(name, 'select', reply)
  throw new EnvError('usage', `${name}: the server has no index ${index}`, {
    cause: reply,
    hint: 'give one that it has: CONFIG GET databases says how many there are',
  })
}

export function refuseCluster({ isCluster }: ServerFacts, name: string): void {
  if (!isCluster) return
  throw new EnvError('refused', `${name}: the server is a node of a cluster, which this driver cannot keep yet`, {
    hint: 'leave this service out of the configuration; its data is in no snapshot then',
  })
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
