import { EnvError } from '../../domain/errors.ts'
import type { Client } from './client.ts'
import type { Document } from './documents.ts'
import { at, type Exact } from './exact-json.ts'
import type { Product } from './product.ts'
import { type Hit, type Page, readPage } from './raw-hits.ts'

/** How long a server keeps a point for us when we ask nothing: all indices of a snapshot wait for the one that is being read. */
const keepAlive = '2h'
const firstPage = 100
const largestPage = 1000
/** How large pages should become. */
const pageBytes = 4_194_304

/** The documents of one index as they were when the point was taken. What was not refreshed before is not in it. */
export class Point {
  readonly #client: Client
  readonly #product: Product
  #id: string

  private constructor(client: Client, product: Product, id: string) {
    this.#client = client
    this.#product = product
    this.#id = id
  }

  static async open(client: Client, product: Product, index: string): Promise<Point> {
    const isOpenSearch = product.kind === 'opensearch'
    const answer = await client.json(
      'POST',
      `/${encodeURIComponent(index)}/${isOpenSearch ? '_search/point_in_time' : '_pit'}`,
      {
        query: { keep_alive: keepAlive, ...(isOpenSearch ? { allow_partial_pit_creation: 'false' } : {}) },
      },
    )
    const id = at(answer, isOpenSearch ? 'pit_id' : 'id')
    const failed = at(answer, '_shards', 'failed')
    if (typeof id !== 'string' || (failed !== undefined && failed !== 0)) {
      throw new EnvError('unavailable', `${client.server.name}: ${index} cannot be read as a whole`, {
        hint: 'are all its shards there?',
      })
    }
    return new Point(client, product, id)
  }

  /** All documents, in the server's own order. Throws when their number is not what the server counts. */
  async *documents(index: string, shards: number): AsyncGenerator<Document> {
    let size = Math.max(firstPage, 2 * shards)
    let after: Exact | undefined
    let seen = new Set<string>()
    let read = 0
    for (;;) {
      const bytes = await this.#search(size, after)
      const page = readPage(bytes)
      this.#id = page.pitId ?? this.#id
      if (!page.isWhole) throw this.#short(index)
      const fresh = page.hits.filter((hit) => !seen.has(keyOf(hit)))
      for (const hit of fresh) {
        if (!hit.hasSource) throw new EnvError('refused', `${index}: the document ${hit.id} has no _source`)
        yield hit
      }
      read += fresh.length
      if (page.hits.length < size) return this.#check(index, read, page)
      ;({ after, seen } = this.#next(page.hits, seen))
      const fitting = Math.floor((size * pageBytes) / Math.max(1, bytes.length))
      size = Math.max(2 * shards, Math.min(largestPage, fitting, 2 * size), 1)
    }
  }

  #search(size: number, after: Exact | undefined): Promise<Buffer> {
    const { kind, hidesVectors } = this.#product
    const body = {
      size,
      pit: { id: this.#id, keep_alive: keepAlive },
      query: { match_all: {} },
      sort: [{ [kind === 'opensearch' ? '_seq_no' : '_shard_doc']: 'asc' }],
      track_total_hits: true,
      ...(after === undefined ? {} : { search_after: after }),
      ...(hidesVectors ? { _source: { exclude_vectors: false } } : {}),
    }
    const query = { allow_partial_search_results: 'false' }
    return this.#client.send('POST', '/_search', { body, query }).then((answer) => answer.body)
  }

  /**
   * `_shard_doc` is unique. OpenSearch lacks it in many versions; its `_seq_no` is unique within a shard: the last number of a page is asked for once more,
   * and what was seen of it is left out. A page holds more than one document of each shard, so it goes on.
   */
  #next(hits: readonly Hit[], before: ReadonlySet<string>): { after: Exact; seen: Set<string> } {
    const last = hits.at(-1)!.sort as readonly Exact[]
    if (this.#product.kind !== 'opensearch') return { after: last, seen: new Set() }
    const number = last[0] as number
    const same = hits.filter((hit) => hit.sort[0] === number).map(keyOf)
    return { after: [number - 1], seen: new Set([...before, ...same].filter((key) => key.endsWith(`\0${number}`))) }
  }

  #check(index: string, read: number, { total }: Page): void {
    if (read !== total) throw this.#short(index, `${read} of ${total} documents`)
  }

  #short(index: string, what = 'a part only'): EnvError {
    return new EnvError('unavailable', `${this.#client.server.name}: of ${index} the server gave ${what}`, {
      hint: 'look at the health of the cluster, then run the command again',
    })
  }

  /** Lets the server forget it; it does so by itself after some time. */
  async close(): Promise<void> {
    const isOpenSearch = this.#product.kind === 'opensearch'
    await this.#client
      .send('DELETE', isOpenSearch ? '/_search/point_in_time' : '/_pit', {
        body: isOpenSearch ? { pit_id: [this.#id] } : { id: this.#id },
        also: [404],
      })
      .catch(() => {})
  }
}

function keyOf({ id, routing, sort }: Hit): string {
  return `${id}\0${routing ?? ''}\0${String(sort[0])}`
}
