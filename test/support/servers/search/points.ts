import { randomUUID } from 'node:crypto'
import type { SearchServer } from '../search.ts'
import { one, parse, type Request } from './request.ts'
import { type Body, type Doc, type Json, Refusal } from './store.ts'

export function openPoint(server: SearchServer, [name]: readonly string[], { query }: Request): Json {
  if (!query.has('keep_alive'))
    throw new Refusal(400, 'action_request_validation_exception', '[keep_alive] is required')
  const index = one(server, name!)
  if (index.settings['verified_before_close'] === 'true') throw new Refusal(400, 'index_closed_exception', 'closed')
  const id = randomUUID()
  server.points.set(id, index.visible)
  const _shards = { total: 1, successful: 1, skipped: 0, failed: 0 }
  return server.kind === 'opensearch' ? { pit_id: id, _shards, creation_time: 1 } : { id, _shards }
}

export function closePoint(server: SearchServer, _: readonly string[], { body }: Request): Json {
  const given = parse(body, server.kind === 'opensearch' ? ['pit_id'] : ['id'])
  const ids = (server.kind === 'opensearch' ? given['pit_id'] : [given['id']]) as readonly string[]
  for (const id of ids) if (!server.points.delete(id)) throw new Refusal(404, 'search_context_missing_exception', id)
  return { succeeded: true, num_freed: ids.length }
}

const searchKeys = ['size', 'pit', 'query', 'sort', 'track_total_hits', 'search_after']

/** A page of a point, `_source` in the very bytes that were given. */
export function search(server: SearchServer, text: string): Json {
  const keys =
    server.kind === 'elasticsearch' && server.version.startsWith('9.') ? [...searchKeys, '_source'] : searchKeys
  const { size, pit, sort, search_after: after } = parse(text, keys) as Record<string, Json>
  const { id } = pit as { id: string }
  const docs = server.points.get(id)
  if (!docs) throw new Refusal(404, 'search_phase_execution_exception', 'No search context found')
  const [field] = Object.keys((sort as readonly Body[])[0]!)
  if (field === '_shard_doc' && server.kind === 'opensearch') {
    throw new Refusal(400, 'search_phase_execution_exception', 'No mapping found for [_shard_doc] in order to sort on')
  }
  // Within a point a document's place never changes.
  const sorted = docs
    .map((doc, place) => ({ doc, key: field === '_shard_doc' ? doc.shard * 2 ** 32 + place : doc.seqNo }))
    .sort((a, b) => a.key - b.key || a.doc.shard - b.doc.shard)
  const from = after === undefined ? -Infinity : Number((after as readonly Json[])[0])
  const page = sorted.filter(({ key }) => key > from).slice(0, Number(size))
  const hits = page.map(({ doc, key }) => hit(doc, key)).join(',')
  return `{"pit_id":${JSON.stringify(id)},"took":1,"timed_out":false,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0},"hits":{"total":{"value":${docs.length},"relation":"eq"},"max_score":null,"hits":[${hits}]}}`
}

function hit({ id, routing, source }: Doc, key: number): string {
  const routed = routing === undefined ? '' : `"_routing":${JSON.stringify(routing)},`
  return `{"_index":"x","_id":${JSON.stringify(id)},"_score":null,${routed}"_source":${source},"sort":[${key}]}`
}
