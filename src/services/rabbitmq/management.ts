import { request } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Json } from '../../domain/canonical-json.ts'
import { EnvError, messageOf } from '../../domain/errors.ts'
import type { Broker } from './broker.ts'

const answerMs = 60_000

type Answer = { readonly status: number; readonly body: Json }

/** The HTTP interface of RabbitMQ's management plugin. Each request has a stream of its own: a socket, TLS, a tunnel. */
export class Management {
  readonly #broker: Broker
  readonly #open: (endpoint: Broker['endpoint']) => Promise<Duplex>

  constructor(broker: Broker, open: (endpoint: Broker['endpoint']) => Promise<Duplex>) {
    this.#broker = broker
    this.#open = open
  }

  /** undefined where there is no such thing. */
  async get<T>(path: string): Promise<T | undefined> {
    const { status, body } = await this.#ask('GET', path)
    return status === 404 ? undefined : (body as T)
  }

  /** undefined where this user may not see it, too. */
  async getIfAllowed<T>(path: string): Promise<T | undefined> {
    try {
      return await this.get<T>(path)
    } catch (error) {
      if (error instanceof EnvError && error.code === 'refused') return undefined
      throw error
    }
  }

  async put(path: string, body: Json): Promise<void> {
    await this.#ask('PUT', path, body)
  }

  async post(path: string, body: Json): Promise<void> {
    await this.#ask('POST', path, body)
  }

  /** Nothing happens where it is gone already. */
  async delete(path: string): Promise<void> {
    await this.#ask('DELETE', path)
  }

  async #ask(method: string, path: string, body?: Json): Promise<Answer> {
    const answer = await this.#send(method, path, body)
    if (answer.status < 300 || (answer.status === 404 && method !== 'PUT' && method !== 'POST')) return answer
    throw this.#failure(method, path, answer)
  }

  #failure(method: string, path: string, { status, body }: Answer): EnvError {
    const { name, user, management } = this.#broker
    const reason = (body as { reason?: unknown } | null)?.reason
    const said = typeof reason === 'string' ? reason : `status ${status}`
    const what = `${name}: the management interface at ${management.host}:${management.port} answers to ${method} ${path}: ${said}`
    if (status !== 401 && status !== 403) return new EnvError(status === 404 ? 'not-found' : 'unavailable', what)
    const tag = /administrator/i.test(said) ? 'administrator' : 'management'
    return new EnvError('refused', what, { hint: `rabbitmqctl set_user_tags '${user}' ${tag}` })
  }

  #missing(cause: unknown): EnvError {
    const { name, management } = this.#broker
    return new EnvError(
      'unavailable',
      `${name}: no management interface at ${management.host}:${management.port}: ${messageOf(cause)}`,
      {
        cause,
        hint: 'rabbitmq-plugins enable rabbitmq_management; or say where it is: management: "http://host:15672"',
      },
    )
  }

  async #send(method: string, path: string, body?: Json): Promise<Answer> {
    const { user, password, management } = this.#broker
    const stream = await this.#open(management).catch((cause: unknown) => {
      throw this.#missing(cause)
    })
    const text = body === undefined ? undefined : JSON.stringify(body)
    const login = `${management.user ?? user}:${management.password ?? password}`
    return new Promise((resolve, reject) => {
      const fail = (cause: Error) => reject(this.#missing(cause))
      const sent = request(
        {
          method,
          path: `/api/${path}`,
          agent: false,
          createConnection: () => stream,
          host: management.host,
          port: management.port,
          timeout: answerMs,
          headers: {
            connection: 'close',
            authorization: `Basic ${Buffer.from(login).toString('base64')}`,
            ...(text === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
          },
        },
        (response) => {
          const parts: Buffer[] = []
          response.on('data', (part: Buffer) => parts.push(part))
          response.on('error', fail)
          response.on('end', () => {
            stream.destroy()
            resolve({ status: response.statusCode ?? 0, body: parse(Buffer.concat(parts)) })
          })
        },
      )
      sent.on('error', fail)
      sent.on('timeout', () => sent.destroy(new Error(`no answer within ${answerMs / 1000} s`)))
      sent.end(text)
    })
  }
}

function parse(bytes: Buffer): Json {
  try {
    return JSON.parse(bytes.toString()) as Json
  } catch {
    return null
  }
}

/** A name as one part of a path. */
export function part(name: string): string {
  return encodeURIComponent(name)
}
