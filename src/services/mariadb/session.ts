import { readFile } from 'node:fs/promises'
import { type Duplex, Readable } from 'node:stream'
import type { Connection, ConnectionOptions, QueryOptions } from 'mysql2'
import { EnvError, messageOf } from '../../domain/errors.ts'
import { describeEndpoint, type Endpoint } from '../connection/endpoint.ts'
import { openTunnel } from '../connection/tunnel.ts'
import { quoted } from './names.ts'
import type { RowText } from './row-text.ts'

/** Every value as the server's text. */
export type Row = Readonly<Record<string, string | null>>

export type SessionOptions = {
  readonly signal: AbortSignal
  /** The database to use from the start. */
  readonly database?: string | undefined
  /** Statements and results are plain bytes; statements are given as latin1 strings. */
  readonly binary?: boolean
}

const connectMs = 20_000
/** Rows on their way to the server. */
const mostWaitingBytes = 1_048_576

/** Our own settings, whatever the server's are: times in UTC, zero stays zero, nothing ends while we wait or are slow to read. */
const settings = [
  `SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', sql_quote_show_create = 1, autocommit = 1`,
  'wait_timeout = 604800, net_read_timeout = 86400, net_write_timeout = 86400, lock_wait_timeout = 60, sql_select_limit = DEFAULT',
  'foreign_key_checks = 0 /*M!100100 , max_statement_time = 0 *//*!80000 , information_schema_stats_expiry = 0 */',
].join(', ')

/** What of mysql2 we reach into, to take rows as the bytes they came in. Held to by the tests; the version is pinned. */
type RawPacket = {
  readonly buffer: Buffer
  readonly offset: number
  readonly end: number
  isEOF(): boolean
}
type RawCommand = {
  row?: (packet: RawPacket, connection: unknown) => unknown
  on(event: 'error', listener: (error: Error) => void): void
  on(event: 'end', listener: () => void): void
}
type RawConnection = { readonly stream: Duplex }

/** One connection to the server. Errors are the server's own, with its `errno`; a lost connection is `unavailable`. */
export class Session {
  readonly threadId: number
  readonly #connection: Connection
  readonly #place: string
  #ended = false

  private constructor(connection: Connection, place: string) {
    this.#connection = connection
    this.#place = place
    this.threadId = connection.threadId
    // Without a listener a lost connection would end the process; the next statement tells.
    connection.on('error', () => {
      this.#ended = true
    })
  }

  static async open(endpoint: Endpoint, { signal, database, binary }: SessionOptions): Promise<Session> {
    const { createConnection } = await import('mysql2')
    const place = describeEndpoint(endpoint)
    signal.throwIfAborted()
    const connection = createConnection({
      ...(await transportOf(endpoint, signal)),
      ...(await credentialsOf(endpoint)),
      ...(database === undefined ? {} : { database }),
      charset: binary ? 'BINARY' : 'UTF8MB4_GENERAL_CI',
      connectTimeout: connectMs,
      flags: ['+LOCAL_FILES'],
      typeCast: (field) => field.string(),
    } as ConnectionOptions)
    await new Promise<void>((resolve, reject) => {
      connection.once('connect', () => resolve())
      connection.once('error', (error: Error) => reject(unreachable(error, endpoint)))
    })
    const session = new Session(connection, place)
    signal.addEventListener('abort', () => session.destroy(), { once: true })
    await session.execute(settings)
    return session
  }

  /** Whether the connection is known to be gone. */
  get ended(): boolean {
    return this.#ended
  }

  query(sql: string): Promise<Row[]> {
    return this.#run({ sql }) as Promise<Row[]>
  }

  async first(sql: string): Promise<Row | undefined> {
    return (await this.query(sql))[0]
  }

  async execute(sql: string): Promise<void> {
    await this.#run({ sql })
  }

  use(database: string): Promise<void> {
    return this.execute(`USE ${quoted(database)}`)
  }

  /** Feeds a `LOAD DATA LOCAL INFILE` with bytes. A source that fails leaves rows behind: the caller drops the table. */
  async load(sql: string, source: AsyncIterable<Uint8Array>): Promise<void> {
    const { stream } = this.#connection as unknown as RawConnection
    const infile = Readable.from(paced(source, stream), { objectMode: true, highWaterMark: 1 })
    await this.#run({ sql, infileStreamFactory: () => infile } as QueryOptions)
  }

  /**
   * The rows of a select as lines of text, in blocks: what `LOAD DATA` reads, see {@link RowText}.
   * A block is good until the next one is asked for. Counts rows in `text.rows`.
   */
  async *lines(sql: string, text: RowText): AsyncGenerator<Uint8Array> {
    const raw = this.#connection as unknown as RawConnection
    const command = this.#connection.query({ sql }) as unknown as RawCommand
    let wake = () => {}
    let failure: Error | undefined
    let done = false
    let paused = false
    command.row = function (packet) {
      if (packet.isEOF()) return Object.getPrototypeOf(this).row.call(this, packet)
      text.add(packet.buffer, packet.offset, packet.end)
      if (text.blocks.length > 0) {
        wake()
        if (text.blocks.length > 4 && !paused) {
          paused = true
          raw.stream.pause()
        }
      }
      return this.row
    }
    command.on('error', (error) => {
      failure = error
      done = true
      wake()
    })
    command.on('end', () => {
      done = true
      wake()
    })
    const lost = () => {
      failure ??= new Error('the connection was lost')
      done = true
      wake()
    }
    this.#connection.once('error', lost)
    try {
      for (;;) {
        const block = text.blocks.shift()
        if (block) {
          yield block
          text.takeBack(block)
          continue
        }
        if (done) break
        if (paused) {
          paused = false
          raw.stream.resume()
        }
        await new Promise<void>((resolve) => {
          wake = resolve
          if (text.blocks.length > 0 || done) resolve()
        })
      }
      if (failure) throw this.#translate(failure)
      const rest = text.rest()
      if (rest.length > 0) yield rest
    } finally {
      this.#connection.removeListener('error', lost)
      // Given up half-way: what is still coming belongs to nobody.
      if (!done) this.destroy()
    }
  }

  async close(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 1000)
      this.#connection.end(() => {
        clearTimeout(timer)
        resolve()
      })
    })
    this.#connection.destroy()
  }

  /** Ends at once; the server lets go of all its locks. */
  destroy(): void {
    this.#ended = true
    this.#connection.destroy()
    ;(this.#connection as unknown as RawConnection).stream.destroy()
  }

  #run(options: QueryOptions): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#translate(new Error('the connection was closed')))
      const lost = () => reject(this.#translate(new Error('the connection was lost')))
      this.#connection.once('end', lost)
      this.#connection.query(options, (error: Error | null, rows: unknown) => {
        this.#connection.removeListener('end', lost)
        if (error) reject(this.#translate(error))
        else resolve(rows)
      })
    })
  }

  /** The server's own errors stay what they are, but never with the statement, which may hold data. */
  #translate(error: Error): Error {
    if (error instanceof EnvError) return error
    if (typeof (error as { errno?: unknown }).errno === 'number' && 'sqlState' in error) {
      delete (error as { sql?: unknown }).sql
      return error
    }
    this.#ended = true
    return new EnvError('unavailable', `the connection to ${this.#place} was lost: ${messageOf(error)}`, {
      hint: 'look whether the server runs, then run the command again',
    })
  }
}

/** mysql2 writes whatever it is given, also when the server is slower: the rest would wait in memory. */
async function* paced(source: AsyncIterable<Uint8Array>, stream: Duplex): AsyncGenerator<Uint8Array> {
  for await (const part of source) {
    yield part
    while (stream.writableLength > mostWaitingBytes && !stream.destroyed) {
      await new Promise<void>((resolve) => {
        const done = () => {
          stream.off('drain', done).off('close', done)
          resolve()
        }
        stream.on('drain', done).on('close', done)
      })
    }
  }
}

const unknownDatabase = 1049
export const interrupted = [1317, 1969, 3024]

export function isServerError(error: unknown, ...numbers: readonly number[]): boolean {
  const errno = (error as { errno?: unknown } | undefined)?.errno
  return typeof errno === 'number' && numbers.includes(errno)
}

async function transportOf({ host, port, socketPath, run }: Endpoint, signal: AbortSignal) {
  if (run) return { stream: await openTunnel(run, socketPath === undefined ? { host, port } : { socketPath }, signal) }
  return socketPath === undefined ? { host, port } : { socketPath }
}

async function credentialsOf({ user, password, options }: Endpoint) {
  const { ssl, sslCa, sslCert, sslKey } = options
  const file = async (name: string | undefined) => (name === undefined ? undefined : await readFile(name))
  const wanted = ssl ?? (sslCa !== undefined || sslCert !== undefined ? 'verify' : 'off')
  return {
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ...(wanted === 'off'
      ? {}
      : {
          ssl: {
            ca: await file(sslCa),
            cert: await file(sslCert),
            key: await file(sslKey),
            rejectUnauthorized: wanted !== 'required',
            ...(wanted === 'verify' ? { verifyIdentity: true } : {}),
          },
        }),
  }
}

function unreachable(error: Error & { errno?: number; code?: string }, endpoint: Endpoint): EnvError {
  const place = describeEndpoint(endpoint)
  const who = endpoint.user === undefined ? '' : ` as ${endpoint.user}`
  if (error instanceof EnvError) return error
  if (error.errno === 1045 || error.errno === 1044 || error.errno === 1698) {
    return new EnvError('unavailable', `${place} does not let us in${who}: ${messageOf(error)}`, {
      hint: 'look at user and password in the url, and at what ${NAME} stands for',
    })
  }
  if (error.errno === unknownDatabase) return new EnvError('not-found', messageOf(error), { cause: { errno: 1049 } })
  return new EnvError('unavailable', `there is no answer from ${place}: ${error.code ?? messageOf(error)}`, {
    hint: 'start the server, or correct the url in the configuration',
  })
}
