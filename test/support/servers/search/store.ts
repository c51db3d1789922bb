import { randomUUID } from 'node:crypto'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined }
export type Body = { readonly [key: string]: Json | undefined }

/** What a server answers when it refuses. */
export class Refusal extends Error {
  readonly status: number
  readonly type: string

  constructor(status: number, type: string, reason: string) {
    super(reason)
    this.status = status
    this.type = type
  }
}

export type Doc = {
  readonly id: string
  readonly routing: string | undefined
  readonly source: string
  readonly shard: number
  readonly seqNo: number
}

export class Index {
  readonly name: string
  readonly uuid = randomUUID()
  settings: Record<string, Json>
  mappings: Record<string, Json>
  readonly aliases = new Map<string, Body>()
  /** What was acknowledged; a search sees only what was there at the last refresh. */
  docs = new Map<string, Doc>()
  visible: readonly Doc[] = []
  readonly highest = new Map<number, number>()

  constructor(name: string, settings: Body = {}, mappings: Body = {}) {
    this.name = name
    this.settings = {
      number_of_shards: '1',
      number_of_replicas: '1',
      ...structuredClone(settings),
      uuid: this.uuid,
      provided_name: name,
      creation_date: String(Date.now()),
      version: { created: '136000099' },
    }
    this.mappings = structuredClone(mappings) as Record<string, Json>
  }

  get shards(): number {
    return Number(this.settings['number_of_shards'])
  }

  get isBlocked(): boolean {
    return (this.settings['blocks'] as Body | undefined)?.['write'] === 'true'
  }

  write(id: string, routing: string | undefined, source: string, onlyNew: boolean): 'created' | 'updated' {
    if (this.isBlocked)
      throw new Refusal(
        403,
        'cluster_block_exception',
        `index [${this.name}] blocked by: [FORBIDDEN/8/index write (api)];`,
      )
    if ((this.mappings['_routing'] as Body | undefined)?.['required'] === true && routing === undefined) {
      throw new Refusal(400, 'routing_missing_exception', `routing is required for [${this.name}]/[${id}]`)
    }
    const fields = parseSource(source)
    const shard = shardOf(routing ?? id, this.shards)
    const key = `${shard}/${id}`
    const is = this.docs.has(key)
    if (is && onlyNew)
      throw new Refusal(409, 'version_conflict_engine_exception', `[${id}]: version conflict, document already exists`)
    this.#map(fields)
    this.docs.set(key, { id, routing, source, shard, seqNo: this.#next(shard) })
    return is ? 'updated' : 'created'
  }

  remove(id: string, routing: string | undefined): boolean {
    if (this.isBlocked) throw new Refusal(403, 'cluster_block_exception', `index [${this.name}] blocked`)
    const shard = shardOf(routing ?? id, this.shards)
    this.#next(shard)
    return this.docs.delete(`${shard}/${id}`)
  }

  refresh(): void {
    this.visible = [...this.docs.values()]
  }

  #next(shard: number): number {
    const next = (this.highest.get(shard) ?? -1) + 1
    this.highest.set(shard, next)
    return next
  }

  /** Dynamic mapping, as far as it matters here: a new field gets a type. */
  #map(fields: Body): void {
    if (this.mappings['dynamic'] === false || this.mappings['dynamic'] === 'false') return
    const known = (this.mappings['properties'] ?? {}) as Record<string, Json>
    const added = Object.keys(fields).filter((key) => known[key] === undefined)
    if (added.length === 0) return
    if (this.mappings['dynamic'] === 'strict') {
      throw new Refusal(400, 'strict_dynamic_mapping_exception', `introduction of [${added[0]}] is not allowed`)
    }
    const types = added.map((key) => [key, { type: typeof fields[key] === 'number' ? 'long' : 'text' }])
    this.mappings['properties'] = { ...known, ...Object.fromEntries(types) }
  }
}

function parseSource(source: string): Body {
  try {
    return JSON.parse(source) as Body
  } catch {
    throw new Refusal(400, 'mapper_parsing_exception', 'failed to parse')
  }
}

function shardOf(routing: string, shards: number): number {
  let sum = 7
  for (const letter of routing) sum = (sum * 31 + letter.codePointAt(0)!) % 1_000_003
  return sum % shards
}
