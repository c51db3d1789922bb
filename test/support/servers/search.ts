import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { answer } from './search/answer.ts'
import type { Body } from './search/store.ts'
import { Index, type Json, Refusal } from './search/store.ts'

export type SearchKind = 'opensearch' | 'elasticsearch'

export type Asked = { readonly method: string; readonly path: string }

type Tls = { readonly key: string; readonly cert: string }

/** What befalls a request instead of an answer: `cut` breaks the connection before it is heeded, `cut after` when it was. */
export type Mishap = 'cut' | 'cut after' | { readonly status: number; readonly body: Json } | undefined

/**
 * Stands in for a search server, in this process: the requests that the driver makes, as both products document them, and nothing else: what is
 * not known here is refused. Its documents are in `indices`, for tests to look at.
 */
export class SearchServer {
  readonly kind: SearchKind
  readonly indices = new Map<string, Index>()
  readonly componentTemplates = new Map<string, Body>()
  readonly indexTemplates = new Map<string, Body>()
  readonly pipelines = new Map<string, Body>()
  readonly points = new Map<string, Index['visible']>()
  readonly asked: Asked[] = []
  version: string
  login: { readonly user: string; readonly password: string } | undefined
  mishap: (asked: Asked) => Mishap = () => undefined
  /** What a document is refused with in a `_bulk`. */
  refuseItem: (id: string) => { readonly status: number; readonly type: string; readonly reason: string } | undefined =
    () => undefined
  readonly #http: http.Server

  private constructor(kind: SearchKind, tls: Tls | undefined) {
    this.kind = kind
    this.version = kind === 'opensearch' ? '2.19.1' : '8.17.0'
    const take: http.RequestListener = (request, response) => void this.#take(request, response)
    this.#http = tls ? https.createServer(tls, take) : http.createServer(take)
  }

  static async start(kind: SearchKind, tls?: Tls): Promise<SearchServer> {
    const server = new SearchServer(kind, tls)
    await new Promise<void>((resolve) => server.#http.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => server.stop())
    return server
  }

  get port(): number {
    return (this.#http.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async stop(): Promise<void> {
    if (!this.#http.listening) return
    const closed = new Promise((resolve) => this.#http.close(resolve))
    this.#http.closeAllConnections()
    await closed
  }

  /** Where a name leads: the index itself, or the one behind an alias. */
  index(name: string): Index | undefined {
    return this.indices.get(name) ?? [...this.indices.values()].find((index) => index.aliases.has(name))
  }

  create(name: string, settings: Body = {}, mappings: Body = {}, aliases: Readonly<Record<string, Body>> = {}): Index {
    if (this.index(name)) throw new Refusal(400, 'resource_already_exists_exception', `index [${name}] already exists`)
    const index = new Index(name, settings, mappings)
    for (const [alias, body] of Object.entries(aliases)) index.aliases.set(alias, body)
    this.indices.set(name, index)
    return index
  }

  async #take(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const url = new URL(request.url!, this.url)
    const asked = { method: request.method!, path: url.pathname }
    this.asked.push(asked)
    const mishap = this.mishap(asked)
    if (mishap === 'cut') return void request.socket.destroy()
    const told = typeof mishap === 'object' ? mishap : this.#answer(request, asked, url, Buffer.concat(parts))
    if (mishap === 'cut after') return void request.socket.destroy()
    response.writeHead(told.status, { 'content-type': 'application/json' })
    const { body } = told
    response.end(request.method === 'HEAD' ? '' : typeof body === 'string' ? body : JSON.stringify(body))
  }

  #answer(request: http.IncomingMessage, asked: Asked, url: URL, body: Buffer): { status: number; body: Json } {
    try {
      if (this.login && request.headers.authorization !== basic(this.login)) {
        throw new Refusal(401, 'security_exception', 'missing authentication credentials')
      }
      return answer(this, {
        ...asked,
        query: url.searchParams,
        type: request.headers['content-type'],
        body: body.toString('utf8'),
      })
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const { status, type, message: reason } = error
      return { status, body: { error: { root_cause: [{ type, reason }], type, reason }, status } }
    }
  }
}

function basic({ user, password }: { readonly user: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}
