import { createHash } from 'node:crypto'
import type { Body, Doc, Index } from './servers/search/store.ts'
import type { SearchServer } from './servers/search.ts'

const otherOwn = 'git-env-01arz3ndektsv4rrffq69g5fav-new-0123abcd-elsewhere'

/** Indices of a project with odd things among them, beside what is somebody else's. */
export function fillServer(server: SearchServer): void {
  server.componentTemplates.set('shop-base', {
    template: { settings: { index: { number_of_replicas: '0' } } },
    version: 3,
  })
  server.indexTemplates.set('shop-logs', { index_patterns: ['shop-logs-*'], composed_of: ['shop-base'], priority: 200 })
  server.pipelines.set('shop-trim', { description: 'trims', processors: [{ trim: { field: 'name' } }] })
  const products = server.create(
    'shop-products',
    {
      number_of_shards: '3',
      number_of_replicas: '0',
      analysis: { analyzer: { own: { type: 'custom', tokenizer: 'standard' } } },
      default_pipeline: 'shop-trim',
    },
    { properties: { name: { type: 'text', boost: 1.5 }, price: { type: 'double' } }, _meta: { exact: 0.1 } },
    { products: { filter: { range: { price: { gte: 0.5 } } }, is_write_index: true } },
  )
  products.write('b', undefined, '{"name":"b","price":1.0}', true)
  products.write('a', undefined, '{"price":12345678901234567890,"name":"\\u00e4 \\"quoted\\" }{"}', true)
  products.write('Z', 'left', '{"name":"routed left"}', true)
  products.write('Z', 'right', '{"name":"routed right"}', true)
  products.write('ä/?#%&', undefined, '{\n  "name": "over\\nlines",\r\n  "price": 1e3\n}', true)
  for (let number = 0; number < 250; number++) products.write(`n${number}`, undefined, `{"name":"${number}"}`, true)
  const routed = server.create('shop-orders', {}, { _routing: { required: true }, dynamic: 'false' })
  routed.write('1', 'customer 1', '{"total":3}', true)
  const behind = server.create('catalog-7', {}, {}, { catalog: {} })
  behind.write('1', undefined, '{"page":1}', true)
  server.create('shop-empty', { number_of_replicas: '2', blocks: { write: 'true' } })
  fillStrangers(server)
}

function fillStrangers(server: SearchServer): void {
  const other = server.create('other', {}, {}, { 'shop-alias-of-another': {} })
  other.write('1', undefined, '{"theirs":true}', true)
  server.create('shopping', {}, {}, { products: {} }).write('1', undefined, '{"theirs":1}', true)
  server.create('.shop-hidden').write('1', undefined, '{"theirs":2}', true)
  server.create(otherOwn, {}, {}, { elsewhere: {} }).write('1', undefined, '{"theirs":3}', true)
  server.create(otherOwn.replace('new', 'old')).write('1', undefined, '{"theirs":4}', true)
  server.indexTemplates.set('their-logs', { index_patterns: ['their-*'] })
  server.componentTemplates.set('their-base', { template: {} })
  server.pipelines.set('their-trim', { processors: [] })
}

export const oddConfig = {
  indices: ['shop-*', 'catalog'],
  templates: ['shop-*'],
  pipelines: ['shop-*'],
} as const

const isStranger = (index: Index) =>
  ['other', 'shopping', '.shop-hidden'].includes(index.name) || index.name.endsWith('-elsewhere')

export function changeServer(server: SearchServer, seed: number): void {
  const products = server.index('shop-products')!
  products.write('b', undefined, `{"name":"changed ${seed}"}`, false)
  products.write(`new ${seed}`, undefined, `{"colour":"red","size":${seed}}`, false)
  products.remove('n7', undefined)
  products.settings['refresh_interval'] = `${seed}s`
  products.aliases.set(`offers-${seed}`, { routing: 'x' })
  products.aliases.delete('products')
  if (!server.index(`shop-new-${seed}`))
    server.create(`shop-new-${seed}`, { auto_expand_replicas: '0-1' }).write('1', undefined, '{"new":1}', true)
  server.pipelines.set('shop-trim', { description: `changed ${seed}`, processors: [] })
  server.pipelines.set(`shop-${seed}`, { processors: [] })
  server.indexTemplates.delete('shop-logs')
  server.componentTemplates.delete('shop-base')
}

export function removeAll(server: SearchServer): void {
  for (const index of [...server.indices.values()]) if (!isStranger(index)) server.indices.delete(index.name)
  for (const kind of [server.componentTemplates, server.indexTemplates, server.pipelines]) {
    for (const name of [...kind.keys()]) if (name.startsWith('shop-')) kind.delete(name)
  }
}

/** By its own name, or by the alias that a restore gave it. */
function projectIndices(server: SearchServer): Map<string, Index> {
  const found = new Map<string, Index>()
  for (const index of server.indices.values()) {
    if (isStranger(index)) continue
    const own = /^git-env-[0-9a-z]{26}-(?:new|old)-[0-9a-f]{8}-(.+)$/.exec(index.name)?.[1]
    if (own === undefined && !index.name.startsWith('git-env-')) found.set(index.name, index)
    if (own !== undefined && index.aliases.has(own)) found.set(own, index)
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)))
}

const told = ['uuid', 'provided_name', 'creation_date', 'version', 'resize']

export function contentOf(server: SearchServer): string {
  const indices = [...projectIndices(server)].map(([name, { settings, mappings, aliases, docs }]) => ({
    name,
    settings: Object.fromEntries(
      Object.entries(settings).filter(
        ([key]) =>
          !told.includes(key) && (key !== 'number_of_replicas' || settings['auto_expand_replicas'] === undefined),
      ),
    ),
    mappings,
    aliases: Object.fromEntries([...aliases].filter(([alias]) => alias !== name)),
    docs: docLines([...docs.values()]),
  }))
  const own = (kind: Map<string, Body>) =>
    [...kind].filter(([name]) => name.startsWith('shop-')).map(([name, body]) => ({ name, body }))
  const others = {
    componentTemplates: own(server.componentTemplates),
    indexTemplates: own(server.indexTemplates),
    pipelines: own(server.pipelines),
  }
  return stable({ indices, others })
}

export type PlainDoc = Pick<Doc, 'id' | 'routing' | 'source'>

export function docLines(docs: readonly PlainDoc[]): string[] {
  return docs
    .map(({ id, routing, source }) => JSON.stringify([id, routing ?? null, source.replaceAll(/[\r\n]/g, ' ')]))
    .sort()
}

export function stable(value: unknown): string {
  return JSON.stringify(value, (_, inner) => {
    if (inner === null || typeof inner !== 'object' || Array.isArray(inner)) return inner
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}

/** Byte for byte all that is somebody else's. */
export function strangersOf(server: SearchServer): string {
  const indices = [...server.indices.values()]
    .filter(isStranger)
    .map(({ name, uuid, settings, mappings, aliases, docs }) => ({
      name,
      uuid,
      settings,
      mappings,
      aliases: [...aliases],
      docs: [...docs],
    }))
  const others = [server.componentTemplates, server.indexTemplates, server.pipelines].map((kind) =>
    [...kind].filter(([name]) => !name.startsWith('shop-')),
  )
  return createHash('sha256').update(stable({ indices, others })).digest('hex')
}
