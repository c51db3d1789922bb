import type { Client } from 'pg'
import type { CopyStreamQuery } from 'pg-copy-streams'
import { EnvError, messageOf, systemCode } from '../../domain/errors.ts'
import { CopyOut } from './copy-out.ts'
import type { Entrance } from './entrance.ts'
import { clientSsl, type Server } from './server.ts'

export type Row = Readonly<Record<string, string | null>>

/** The same text for the same value, whoever asks and wherever; every row, or an error. */
const settings = `
  SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; SET search_path = ''; SET row_security = off;
  SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; SET extra_float_digits = 3; SET bytea_output = 'hex';
  SET lc_monetary = 'C'; SET lc_messages = 'C'; SET xmloption = 'content'; SET synchronize_seqscans = off; SET jit = off;
  SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET check_function_bodies = off;
  SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; SET default_tablespace = ''`
  // lc_messages is for superusers; without it errors are told by their codes all the same.
  .replace(/ SET lc_messages = 'C';/, '')

/** One connection to one database. Values are given as the texts that the server sends. */
export class Session {
  readonly pid: number
  readonly database: string
  readonly #client: Client
  readonly #server: Server
  readonly #end: Promise<void>
  #ended: Error | undefined

  private constructor(client: Client, server: Server, database: string) {
    this.#client = client
    this.#server = server
    this.database = database
    this.pid = (client as unknown as { processID: number }).processID
    client.on('error', (error) => {
      this.#ended ??= error
    })
    this.#end = new Promise((resolve) => {
      client.on('end', () => {
        this.#ended ??= new Error('the connection was closed')
        resolve()
      })
    })
  }

  static async open(server: Server, entrance: Entrance, database: string, signal: AbortSignal): Promise<Session> {
    signal.throwIfAborted()
    const client = await connect(server, entrance, database)
    const session = new Session(client, server, database)
    const abort = () => session.kill()
    signal.addEventListener('abort', abort, { once: true })
    client.once('end', () => signal.removeEventListener('abort', abort))
    await session.run(settings)
    return session
  }

  get ended(): boolean {
    return this.#ended !== undefined
  }

  /** The rows that one statement gives. */
  async query(text: string, values?: readonly (string | number | null)[]): Promise<Row[]> {
    try {
      const result = await this.#client.query<Record<string, string | null>>(
        values ? { text, values: [...values] } : text,
      )
      return result.rows
    } catch (error) {
      throw databaseError(error, this.#server, this.#ended)
    }
  }

  /** The first row; a `bug` when there is none. */
  async one(text: string, values?: readonly (string | number | null)[]): Promise<Row> {
    const [row] = await this.query(text, values)
    if (!row) throw new EnvError('bug', `${this.#server.name}: no row from ${text.trim().slice(0, 80)}`)
    return row
  }

  /** Several statements in one exchange; gives the rows of each. */
  async each(text: string): Promise<Row[][]> {
    try {
      const results = (await this.#client.query(text)) as unknown as { rows?: Row[] } | { rows?: Row[] }[]
      return [results].flat().map((result) => result.rows ?? [])
    } catch (error) {
      throw databaseError(error, this.#server, this.#ended)
    }
  }

  /** Several statements in one exchange; gives the rows of the last that has any. */
  async run(text: string): Promise<Row[]> {
    return (await this.each(text)).findLast((rows) => rows.length > 0) ?? []
  }

  /** `COPY … TO STDOUT`: its bytes; throws at the end when the server did, so that a cut table never looks whole. Returns the rows. */
  async *copyOut(text: string): AsyncGenerator<Uint8Array, number> {
    const finished = this.#idle()
    const copy = this.#client.query(new CopyOut(text))
    let isWhole = false
    try {
      yield* copy.parts()
      await finished
      isWhole = true
      if (this.#ended) throw this.#ended
      return copy.rowCount
    } catch (error) {
      throw databaseError(error, this.#server, this.#ended)
    } finally {
      // Who stops reading half-way leaves the rest on the line.
      if (!isWhole) this.kill()
    }
  }

  /** `COPY … FROM STDIN`: gives the rows that the server took. */
  async copyIn(text: string, bytes: AsyncIterable<Uint8Array>): Promise<number> {
    const { from } = await import('pg-copy-streams')
    const finished = this.#idle()
    const stream = this.#client.query(from(text)) as CopyStreamQuery & { rowCount: number }
    try {
      await feed(stream, bytes)
      await finished
      return stream.rowCount
    } catch (error) {
      throw databaseError(error, this.#server, this.#ended)
    }
  }

  async close(): Promise<void> {
    if (this.#ended) return
    await this.#client.end().catch(() => {})
  }

  /** Cuts the connection: the server rolls back and frees every lock. */
  kill(): void {
    this.#ended ??= new Error('the connection was cut')
    ;(this.#client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  }

  /** Resolves when what is asked next has been answered in full. */
  #idle(): Promise<void> {
    return Promise.race([new Promise<void>((resolve) => this.#client.once('drain', resolve)), this.#end])
  }
}

async function feed(stream: CopyStreamQuery, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  let failed: Error | undefined
  const failure = new Promise<never>((_, reject) => {
    stream.once('error', (error: Error) => {
      failed = error
      reject(error)
    })
  })
  failure.catch(() => {})
  try {
    for await (const part of bytes) {
      if (failed) throw failed
      if (!stream.write(part)) {
        await Promise.race([new Promise((resolve) => stream.once('drain', resolve)), failure])
      }
    }
  } catch (error) {
    if (!failed) stream.destroy(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
  await Promise.race([new Promise<void>((resolve) => stream.end(resolve)), failure])
}

async function connect(server: Server, entrance: Entrance, database: string): Promise<Client> {
  const { default: pg } = await import('pg')
  const ssl = clientSsl(server)
  const attempt = async (encrypted: boolean) => {
    const client = new pg.Client({
      host: entrance.address ?? entrance.host,
      port: entrance.port,
      user: server.user,
      database,
      password: server.endpoint.password ?? '',
      application_name: 'git-env',
      connectionTimeoutMillis: 20_000,
      keepAlive: true,
      types: { getTypeParser: () => (value: unknown) => value },
      ssl: encrypted && ssl ? { ...ssl, ...(entrance.address ? { servername: entrance.host } : {}) } : false,
    })
    await client.connect()
    return client
  }
  try {
    return await attempt(true)
  } catch (error) {
    if (server.ssl.mode === 'prefer' && /does not support SSL/.test(messageOf(error))) {
      return attempt(false).catch((second) => {
        throw databaseError(second, server, undefined)
      })
    }
    throw databaseError(error, server, undefined)
  }
}

/** The five characters by which PostgreSQL names an error; undefined for others. */
export function sqlState(error: unknown): string | undefined {
  const code = systemCode(error instanceof EnvError ? error.cause : error)
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
}

const unreachable = new Set(['ECONNREFUSED', 'ENOENT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ETIMEDOUT', 'EACCES'])

function databaseError(error: unknown, server: Server, ended: Error | undefined): EnvError {
  if (error instanceof EnvError) return error
  const { name, place } = server
  const message = messageOf(error)
  const state = sqlState(error)
  const options = { cause: error }
  if (unreachable.has(systemCode(error) ?? '') || /timeout expired|terminated unexpectedly/.test(message)) {
    return new EnvError('unavailable', `${name}: the server of ${place} does not answer: ${message}`, {
      ...options,
      hint: 'start it, or mend the url in .git-env.yaml',
    })
  }
  if (state === '28P01' || state === '28000') {
    return new EnvError('refused', `${name}: ${message}`, { ...options, hint: 'look at user and password in the url' })
  }
  if (state?.startsWith('53')) return new EnvError('unavailable', `${name}: the server says: ${message}`, options)
  if (state === '42501') return new EnvError('refused', `${name}: ${message}`, options)
  if (state !== undefined)
    return new EnvError('unavailable', `${name}: the server says: ${message} (${state})`, options)
  return new EnvError('unavailable', `${name}: the connection to ${place} broke: ${messageOf(ended ?? error)}`, options)
}
