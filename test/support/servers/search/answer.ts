import type { SearchServer } from '../search.ts'
import { changeAliases } from './aliases.ts'
import { bulk, clone, readDocument, writeDocument } from './documents.ts'
import { closePoint, openPoint, search } from './points.ts'
import { type Answered, missing, one, parse, type Request } from './request.ts'
import { type Body, type Index, type Json, Refusal } from './store.ts'

type Handler = (server: SearchServer, words: readonly string[], request: Request) => Json | Answered

type Route = {
  readonly pattern: string
  readonly query: readonly string[]
  readonly handler: Handler
  readonly for?: SearchServer['kind']
}

const acknowledged = { acknowledged: true } as const

const routes: readonly Route[] = [
  { pattern: 'GET ', query: [], handler: root },
  {
    pattern: 'POST _aliases',
    query: [],
    handler: (server, _, { body }) => changeAliases(server, parse(body, ['actions'])),
  },
  {
    pattern: 'POST _search',
    query: ['allow_partial_search_results'],
    handler: (server, _, { body }) => search(server, body),
  },
  {
    pattern: 'POST * _search point_in_time',
    query: ['keep_alive', 'allow_partial_pit_creation'],
    for: 'opensearch',
    handler: openPoint,
  },
  { pattern: 'DELETE _search point_in_time', query: [], for: 'opensearch', handler: closePoint },
  { pattern: 'POST * _pit', query: ['keep_alive'], for: 'elasticsearch', handler: openPoint },
  { pattern: 'DELETE _pit', query: [], for: 'elasticsearch', handler: closePoint },
  ...named('_component_template', 'componentTemplates', ['template', 'version', '_meta']),
  ...named('_index_template', 'indexTemplates', [
    'index_patterns',
    'composed_of',
    'template',
    'priority',
    'version',
    '_meta',
    'data_stream',
  ]),
  ...named('_ingest/pipeline', 'pipelines', ['description', 'processors', 'on_failure', 'version', '_meta']),
  { pattern: 'GET *', query: ['expand_wildcards', 'ignore_unavailable', 'allow_no_indices'], handler: getIndices },
  { pattern: 'HEAD *', query: [], handler: (server, [name]) => (server.index(name!) ? {} : missing(name!)) },
  { pattern: 'PUT *', query: [], handler: putIndex },
  { pattern: 'DELETE *', query: [], handler: deleteIndex },
  { pattern: 'POST * _refresh', query: [], handler: refresh },
  {
    pattern: 'GET * _count',
    query: [],
    handler: (server, [name]) => ({
      count: one(server, name!).visible.length,
      _shards: { total: 1, successful: 1, skipped: 0, failed: 0 },
    }),
  },
  { pattern: 'GET * _stats docs', query: ['level'], handler: stats },
  { pattern: 'GET * _stats store', query: ['level'], handler: stats },
  { pattern: 'PUT * _block write', query: [], handler: block },
  { pattern: 'PUT * _settings', query: [], handler: putSettings },
  { pattern: 'POST * _clone *', query: ['wait_for_active_shards', 'timeout'], handler: clone },
  { pattern: 'POST * _bulk', query: ['pipeline', 'refresh'], handler: bulk },
  { pattern: 'PUT * _create *', query: ['pipeline', 'routing'], handler: writeDocument },
  { pattern: 'PUT * _doc *', query: ['routing', 'if_seq_no', 'if_primary_term'], handler: writeDocument },
  { pattern: 'GET * _doc *', query: ['routing'], handler: readDocument },
  { pattern: 'DELETE * _doc *', query: ['routing', 'if_seq_no', 'if_primary_term'], handler: writeDocument },
]

export function answer(server: SearchServer, request: Request): Answered {
  const words = request.path.slice(1).split('/').map(decodeURIComponent)
  for (const route of routes) {
    const found = match(route.pattern, request.method, words)
    if (!found || (route.for !== undefined && route.for !== server.kind)) continue
    const unknown = [...request.query.keys()].find((key) => !route.query.includes(key))
    if (unknown !== undefined) {
      throw new Refusal(
        400,
        'illegal_argument_exception',
        `request [${request.path}] contains unrecognized parameter: [${unknown}]`,
      )
    }
    const told = route.handler(server, found, request)
    return isAnswered(told) ? told : { status: 200, body: told }
  }
  throw new Refusal(
    400,
    'illegal_argument_exception',
    `no handler found for uri [${request.path}] and method [${request.method}]`,
  )
}

function isAnswered(told: Json | Answered): told is Answered {
  return told !== null && typeof told === 'object' && 'body' in told && 'status' in told
}

/** The words where a pattern has a `*`. A name never begins with `_`. */
function match(pattern: string, method: string, words: readonly string[]): string[] | undefined {
  const [verb, ...parts] = pattern.split(' ')
  if (verb !== method || parts.length !== words.length) return undefined
  const fits = parts.every((part, position) =>
    part === '*' ? position > 0 || !words[0]!.startsWith('_') : part === words[position],
  )
  return fits ? words.filter((_, position) => parts[position] === '*') : undefined
}

function several(server: SearchServer, list: string): Index[] {
  return list.split(',').map((name) => one(server, name))
}

function root(server: SearchServer): Json {
  const { kind, version } = server
  return kind === 'opensearch'
    ? {
        name: 'node',
        cluster_name: 'test',
        version: { distribution: 'opensearch', number: version, build_type: 'tar' },
        tagline: 'The OpenSearch Project: https://opensearch.org/',
      }
    : {
        name: 'node',
        cluster_name: 'test',
        version: { number: version, build_flavor: 'default' },
        tagline: 'You Know, for Search',
      }
}

function getIndices(server: SearchServer, [list]: readonly string[], { query }: Request): Json {
  const found = new Set<Index>()
  for (const text of list!.split(',')) {
    const names = [...server.indices.values()].flatMap((index) => [index.name, ...index.aliases.keys()])
    const isPattern = text.includes('*')
    const expression = new RegExp(
      `^${text
        .split('*')
        .map((part) => part.replaceAll(/[.+^$(){}|[\]\\]/g, '\\$&'))
        .join('.*')}$`,
    )
    const matching = names.filter((name) =>
      isPattern ? expression.test(name) && (!name.startsWith('.') || text.startsWith('.')) : name === text,
    )
    if (matching.length === 0 && !isPattern && query.get('ignore_unavailable') !== 'true') missing(text)
    for (const name of matching)
      for (const index of server.indices.values()) if (index.name === name || index.aliases.has(name)) found.add(index)
  }
  return Object.fromEntries(
    [...found].map((index) => [
      index.name,
      { aliases: Object.fromEntries(index.aliases), mappings: index.mappings, settings: { index: index.settings } },
    ]),
  )
}

const privateSettings = ['uuid', 'provided_name', 'version', 'resize']

function putIndex(server: SearchServer, [name]: readonly string[], { body }: Request): Json {
  const { settings, mappings, aliases } = parse(body, ['settings', 'mappings', 'aliases'])
  const index = ((settings as Body | undefined)?.['index'] ?? {}) as Body
  const odd = Object.keys(index).find((key) => privateSettings.includes(key))
  if (odd !== undefined)
    throw new Refusal(400, 'validation_exception', `private index setting [index.${odd}] can not be set explicitly`)
  if (/[A-Z\s,"*\\<>|?/#:]/.test(name!) || Buffer.byteLength(name!) > 255)
    throw new Refusal(400, 'invalid_index_name_exception', `Invalid index name [${name}]`)
  const made = server.create(name!, asTexts(index), (mappings ?? {}) as Body, (aliases ?? {}) as Record<string, Body>)
  for (const [template, each] of server.indexTemplates) applyTemplate(made, template, each)
  return { ...acknowledged, shards_acknowledged: true, index: name! }
}

function applyTemplate(index: Index, _name: string, template: Body): void {
  const patterns = template['index_patterns'] as readonly string[]
  if (!patterns.some((text) => new RegExp(`^${text.replaceAll('*', '.*')}$`).test(index.name))) return
  const { aliases, mappings } = (template['template'] ?? {}) as { aliases?: Record<string, Body>; mappings?: Body }
  for (const [alias, body] of Object.entries(aliases ?? {})) index.aliases.set(alias, body)
  const own = (index.mappings['properties'] ?? {}) as Body
  const more = (mappings?.['properties'] ?? {}) as Body
  if (Object.keys(more).length > 0) index.mappings['properties'] = { ...more, ...own }
}

/** Servers keep every setting as a text. */
function asTexts(value: Body): Body {
  const text = (inner: Json | undefined): Json =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? asTexts(inner as Body)
      : Array.isArray(inner)
        ? inner.map(String)
        : String(inner)
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, text(inner)]))
}

function deleteIndex(server: SearchServer, [name]: readonly string[]): Json {
  if (server.indices.delete(name!)) return acknowledged
  if (!server.index(name!)) missing(name!)
  throw new Refusal(
    400,
    'illegal_argument_exception',
    `The provided expression [${name}] matches an alias, specify the corresponding concrete indices instead.`,
  )
}

function refresh(server: SearchServer, [list]: readonly string[]): Json {
  for (const index of several(server, list!)) index.refresh()
  return { _shards: { total: 2, successful: 1, failed: 0 } }
}

function stats(server: SearchServer, [list]: readonly string[]): Json {
  const told = several(server, list!).map((index) => {
    const bytes = [...index.docs.values()].reduce((sum, doc) => sum + doc.source.length, 0)
    const shards = Array.from({ length: index.shards }, (_, shard) => {
      const seq_no = { max_seq_no: index.highest.get(shard) ?? -1 }
      return [
        String(shard),
        [
          { routing: { primary: false }, seq_no: { max_seq_no: -1 } },
          { routing: { primary: true }, seq_no },
        ],
      ]
    })
    return [
      index.name,
      { uuid: index.uuid, primaries: { store: { size_in_bytes: bytes } }, shards: Object.fromEntries(shards) },
    ]
  })
  return { _shards: { failed: 0 }, indices: Object.fromEntries(told) }
}

function block(server: SearchServer, [name]: readonly string[]): Json {
  const index = one(server, name!)
  index.settings['blocks'] = { ...(index.settings['blocks'] as Body | undefined), write: 'true' }
  return { ...acknowledged, shards_acknowledged: true, indices: [{ name: index.name, blocked: true }] }
}

function putSettings(server: SearchServer, [name]: readonly string[], { body }: Request): Json {
  const index = one(server, name!)
  const given = parse(body, ['index', 'index.blocks.write'])
  if (given['index.blocks.write'] === null) {
    const { write: _, ...blocks } = (index.settings['blocks'] ?? {}) as Body
    if (Object.keys(blocks).length > 0) index.settings['blocks'] = blocks
    else delete index.settings['blocks']
  }
  Object.assign(index.settings, asTexts((given['index'] ?? {}) as Body))
  return acknowledged
}

type Definitions = 'componentTemplates' | 'indexTemplates' | 'pipelines'

/** Get by a name or pattern, put and delete of one kind of definitions. */
function named(place: string, kind: Definitions, keys: readonly string[]): Route[] {
  const words = place.replace('/', ' ')
  const get: Handler = (server, [text]) => {
    const expression = new RegExp(`^${text!.replaceAll('*', '.*')}$`)
    const found = [...server[kind]].filter(([name]) => expression.test(name))
    if (found.length === 0 && !text!.includes('*'))
      throw new Refusal(404, 'resource_not_found_exception', `[${text}] not found`)
    if (kind === 'pipelines') return found.length === 0 ? { status: 404, body: {} } : Object.fromEntries(found)
    const [list, member] =
      kind === 'indexTemplates' ? ['index_templates', 'index_template'] : ['component_templates', 'component_template']
    return { [list!]: found.map(([name, body]) => ({ name, [member!]: body })) }
  }
  const put: Handler = (server, [name], { body }) => {
    const given = parse(body, keys)
    const parts = (given['composed_of'] ?? []) as readonly string[]
    const lacking = kind === 'indexTemplates' ? parts.find((part) => !server.componentTemplates.has(part)) : undefined
    if (lacking !== undefined)
      throw new Refusal(400, 'invalid_index_template_exception', `component template [${lacking}] does not exist`)
    server[kind].set(name!, given)
    return acknowledged
  }
  const remove: Handler = (server, [name]) => {
    const used = [...server.indexTemplates.values()].some((each) =>
      ((each['composed_of'] ?? []) as string[]).includes(name!),
    )
    if (kind === 'componentTemplates' && used)
      throw new Refusal(
        400,
        'illegal_argument_exception',
        `component templates [${name}] cannot be removed as they are still in use`,
      )
    if (!server[kind].delete(name!)) throw new Refusal(404, 'resource_not_found_exception', `[${name}] missing`)
    return acknowledged
  }
  return [
    { pattern: `GET ${words} *`, query: [], handler: get },
    { pattern: `PUT ${words} *`, query: [], handler: put },
    { pattern: `DELETE ${words} *`, query: [], handler: remove },
  ]
}
