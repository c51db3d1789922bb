import * as v from 'valibot'
import type { ContentSink, ContentSource } from '../domain/content.ts'
import { EnvError } from '../domain/errors.ts'
import type { ServiceRecord } from '../domain/manifest.ts'
import type { Staged } from '../domain/swap.ts'
import { type Endpoint, parseEndpoint } from './connection/endpoint.ts'
import { openCapture } from './mariadb/capture.ts'
import { type Database, findDatabase, openSession, placeOf } from './mariadb/database.ts'
import { exportDatabase } from './mariadb/export.ts'
import { databaseComment, hasComments, markerComment, readMarkerComment, writeComment } from './mariadb/marker.ts'
import { dropAll } from './mariadb/marks.ts'
import { probeDatabase } from './mariadb/probe.ts'
import { reserve } from './mariadb/reserve.ts'
import { stageDatabase } from './mariadb/stage.ts'
import { asStaged, fromStaged } from './mariadb/staged.ts'
import { DatabaseSwap } from './mariadb/swap.ts'
import { SwapFiles } from './mariadb/swap-files.ts'
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
  /** `mysql://user:${PASSWORD}@host:port/database`, or one `${NAME}`; `?socketPath=`, and for TLS `ssl`, `sslCa`, `sslCert`, `sslKey`. */
  url: v.pipe(v.string(), v.minLength(1, 'a url is needed')),
  /** What leads to where the server is: `[docker, compose, exec, -T, db]`. */
  run: v.optional(v.pipe(v.array(v.string()), v.minLength(1, 'a command is needed'))),
})

const mariadb: ServiceDriver<typeof schema> = {
  type: 'mariadb',
  kind: 'service',
  schema,
  detect: async (project) =>
    (await import('./detection/find-services.ts')).detectServers(project, ['mariadb', 'mysql']),
  async open(config, context) {
    const endpoint = parseEndpoint(config, context, {
      schemes: ['mysql', 'mariadb'],
      port: 3306,
      options: ['ssl', 'sslCa', 'sslCert', 'sslKey'],
    })
    return new MariadbService(checked(endpoint, context), context)
  },
  export: exportDatabase,
}
export default mariadb

const sslModes = ['off', 'required', 'verify-ca', 'verify']
const notForUs = new Set(['mysql', 'information_schema', 'performance_schema', 'sys'])

function checked(endpoint: Endpoint, { name }: ServiceContext): Endpoint & { readonly database: string } {
  const { database, options } = endpoint
  if (database === undefined) {
    throw new EnvError('usage', `${name}: the url names no database`, { hint: 'such as mysql://user@127.0.0.1/shop' })
  }
  if (notForUs.has(database.toLowerCase())) throw new EnvError('refused', `${name}: ${database} is the server's own`)
  if (options['ssl'] !== undefined && !sslModes.includes(options['ssl'])) {
    throw new EnvError('usage', `${name}: ssl=${options['ssl']} is not known`, {
      hint: `one of: ${sslModes.join(', ')}`,
    })
  }
  return { ...endpoint, database }
}

class MariadbService implements Service {
  readonly name: string
  readonly driver = mariadb
  readonly resources: readonly string[] = []
  readonly place: string
  readonly #database: Database
  readonly #swaps: DatabaseSwap[] = []

  constructor(endpoint: Endpoint & { readonly database: string }, context: ServiceContext) {
    this.name = context.name
    this.#database = { endpoint, name: endpoint.database, context }
    this.place = placeOf(this.#database)
  }

  reserve(): Promise<Reservation> {
    return reserve(this.#database)
  }

  async marker(): Promise<Marker | undefined> {
    const { session, facts, state } = await findDatabase(this.#database)
    try {
      if (state !== 'there' || !hasComments(facts)) return undefined
      return readMarkerComment((await databaseComment(session, this.#database.name)) ?? '').marker
    } finally {
      await session.close()
    }
  }

  async setMarker(marker: Marker): Promise<void> {
    const { session, facts, state } = await findDatabase(this.#database)
    try {
      if (state === 'not there' || !hasComments(facts)) return
      const { comment } = readMarkerComment((await databaseComment(session, this.#database.name)) ?? '')
      await writeComment(session, this.#database.name, markerComment(comment, marker))
    } finally {
      await session.close()
    }
  }

  probe(): Promise<Probe> {
    return probeDatabase(this.#database)
  }

  capture(sink: ContentSink, options: CaptureOptions): Promise<Capture> {
    return openCapture(this.#database, sink, options)
  }

  async stage(target: ServiceRecord, live: ServiceRecord, options: StageOptions): Promise<Staged> {
    return asStaged(await stageDatabase({ database: this.#database, target, live, options }))
  }

  swap(staged: Staged, source?: ContentSource): ServiceSwap {
    // A swap that has begun is finished or taken back, also after Ctrl-C.
    const context = { ...this.#database.context, signal: new AbortController().signal }
    const swap = new DatabaseSwap(fromStaged(staged), { ...this.#database, context }, source)
    this.#swaps.push(swap)
    return swap
  }

  async sweep(id: string): Promise<void> {
    const session = await openSession(this.#database)
    try {
      await dropAll(session, this.#database.name, id)
    } finally {
      await session.close()
    }
    await new SwapFiles(this.#database.context.privateDirectory, id).remove()
  }

  async close(): Promise<void> {
    for (const swap of this.#swaps) await swap.close()
  }
}
