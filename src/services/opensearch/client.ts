import http from 'node:http'
import https from 'node:https'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { cancelled, EnvError, messageOf } from '../../domain/errors.ts'
import { openTunnel } from '../connection/tunnel.ts'
import { at, type Exact, parseExact } from './exact-json.ts'
import type { Server } from './server.ts'

/** Nobody waits longer for a server that says nothing. Making clones and loading may take a while. */
const silenceMs = 120_000

export type Call = {
  readonly query?: Readonly<Record<string, string>>
  /** Sent as JSON; text and bytes as they are. */
  readonly body?: Exact | Uint8Array
  readonly type?: 'application/json' | 'application/x-ndjson'
  /** Answers that are no errors besides those of 200 to 299. */
  readonly also?: readonly number[]
}

export type Answer = { readonly status: number; readonly body: Buffer }

/** Speaks HTTP with one server. Close it when done. */
export class Client {
  readonly server: Server
  readonly #agent: http.Agent
  readonly #signal: AbortSignal

  constructor(server: Server, signal: AbortSignal) {
    this.server = server
    this.#signal = signal
    this.#agent = agentOf(server, signal)
  }

  /** `path` begins with `/` and is encoded. Throws `unavailable` without an answer, and by `refusal` for one that is an error. */
  async send(method: string, path: string, call: Call = {}): Promise<Answer> {
    const answer = await this.#exchange(method, path, call)
    if ((answer.status >= 200 && answer.status < 300) || call.also?.includes(answer.status)) return answer
    throw this.#refusal(method, path, answer)
  }

  async json(method: string, path: string, call: Call = {}): Promise<Exact> {
    return this.parse((await this.send(method, path, call)).body)
  }

  close(): void {
    this.#agent.destroy()
  }

  #exchange(method: string, path: string, { query, body, type = 'application/json' }: Call): Promise<Answer> {
    const { endpoint, name } = this.server
    const bytes = body === undefined ? undefined : body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body))
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const fail = (cause: unknown) => reject(this.#signal.aborted ? cancelled() : this.#away(cause))
    const request = (endpoint.scheme === 'https' ? https : http).request(
      {
        agent: this.#agent,
        method,
        host: endpoint.host,
        port: endpoint.port,
        socketPath: endpoint.socketPath,
        path: `${this.#prefix}${path}${query ? `?${new URLSearchParams(query)}` : ''}`,
        headers: {
          accept: 'application/json',
          ...(bytes ? { 'content-type': type, 'content-length': bytes.length } : {}),
          ...this.#authorization,
        },
        signal: this.#signal,
      },
      (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => {
          silence.refresh()
          parts.push(part)
        })
        response.on('error', fail)
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts) }))
      },
    )
    const silence = setTimeout(
      () => request.destroy(new Error(`${name} said nothing for ${silenceMs / 1000} s`)),
      silenceMs,
    )
    request.on('error', fail)
    request.end(bytes)
    return promise.finally(() => clearTimeout(silence))
  }

  get #prefix(): string {
    const path = this.server.endpoint.database?.replaceAll(/^\/+|\/+$/g, '') ?? ''
    return path === '' ? '' : `/${encodeURI(path)}`
  }

  get #authorization(): Record<string, string> {
    const { user, password } = this.server.endpoint
    if (user === undefined) return {}
    return { authorization: `Basic ${Buffer.from(`${user}:${password ?? ''}`).toString('base64')}` }
  }

  parse(body: Buffer): Exact {
    try {
      return parseExact(body.toString('utf8'))
    } catch (cause) {
      throw new EnvError(
        'unavailable',
        `${this.server.name}: ${this.server.place} answered something that is no JSON`,
        {
          cause,
          hint: 'is this the port of the search server?',
        },
      )
    }
  }

  #away(cause: unknown): EnvError {
    if (cause instanceof EnvError) return cause
    return new EnvError(
      'unavailable',
      `${this.server.name}: no answer from ${this.server.place}: ${messageOf(cause)}`,
      {
        cause,
        hint: 'is the server running, and does it listen there?',
      },
    )
  }

  #refusal(method: string, path: string, { status, body }: Answer): EnvError {
    const { name, place } = this.server
    const { type, reason } = errorIn(body)
    const said = [type, reason].filter((text) => text !== '').join(': ')
    const what = `${name}: ${method} ${decodeURI(path)} was answered with ${status}${said === '' ? '' : `: ${said}`}`
    const details = { status, type }
    if (status === 401) {
      return new EnvError('refused', `${name}: ${place} does not let this user in`, {
        details,
        hint: 'look at user and password in the url',
      })
    }
    if (status === 403 && type !== 'cluster_block_exception') {
      return new EnvError('refused', what, {
        details,
        hint: 'the user needs all rights on the indices of the project and on git-env-*, and for templates and pipelines that of managing them',
      })
    }
    return new EnvError(status >= 500 || status === 429 ? 'unavailable' : 'refused', what, { details })
  }
}

const longestReason = 300

function errorIn(body: Buffer): { readonly type: string; readonly reason: string } {
  try {
    const error = at(parseExact(body.toString('utf8')), 'error')
    if (typeof error === 'string') return { type: '', reason: error.slice(0, longestReason) }
    const { type, reason } = { type: at(error, 'type'), reason: at(error, 'reason') }
    return { type: String(type ?? ''), reason: String(reason ?? '').slice(0, longestReason) }
  } catch {
    return { type: '', reason: '' }
  }
}

/** What Node's agent asks of a socket beside its bytes. */
function asSocket(stream: Duplex): Duplex {
  const nothing = () => stream
  return Object.assign(stream, {
    setTimeout: nothing,
    setKeepAlive: nothing,
    setNoDelay: nothing,
    ref: nothing,
    unref: nothing,
  })
}

type Connected = (error: Error | null, stream: Duplex) => void

function agentOf({ endpoint, tls: rules }: Server, signal: AbortSignal): http.Agent {
  const options = { keepAlive: true, maxSockets: 8 }
  const secure = { rejectUnauthorized: rules.verified, ...(rules.ca === undefined ? {} : { ca: rules.ca }) }
  const agent = endpoint.scheme === 'https' ? new https.Agent({ ...options, ...secure }) : new http.Agent(options)
  const { run, socketPath, host, port } = endpoint
  if (run === undefined) return agent
  const target = socketPath === undefined ? { host, port } : { socketPath }
  const connect = (_: unknown, done: Connected) => {
    openTunnel(run, target, signal).then(
      (stream) =>
        done(
          null,
          endpoint.scheme === 'https' ? tls.connect({ socket: stream, servername: host, ...secure }) : asSocket(stream),
        ),
      (error) => done(error, undefined as never),
    )
    return undefined
  }
  return Object.assign(agent, { createConnection: connect })
}
