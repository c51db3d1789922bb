import type { SearchServer } from '../search.ts'
import { type Answered, missing, one, parse, type Request } from './request.ts'
import { type Index, type Json, Refusal } from './store.ts'

type Action = { readonly _id: string; readonly routing?: string; readonly _index?: string }

export function bulk(server: SearchServer, [name]: readonly string[], { body, type }: Request): Json {
  if (type !== 'application/x-ndjson')
    throw new Refusal(406, 'media_type_header_exception', `[${type}] is not supported`)
  if (!body.endsWith('\n'))
    throw new Refusal(400, 'illegal_argument_exception', 'The bulk request must be terminated by a newline [\\n]')
  const lines = body.split('\n').slice(0, -1)
  const items: Json[] = []
  while (lines.length > 0) {
    const [[verb, action]] = Object.entries(JSON.parse(lines.shift()!)) as [[string, Action]]
    const unknown = Object.keys(action).find((key) => !['_id', 'routing'].includes(key))
    if (unknown !== undefined)
      throw new Refusal(
        400,
        'illegal_argument_exception',
        `Action/metadata line contains an unknown parameter [${unknown}]`,
      )
    items.push({ [verb]: item(server, name!, verb, action, lines.shift()!) })
  }
  return { took: 1, errors: items.some((each) => JSON.stringify(each).includes('"error"')), items }
}

function item(server: SearchServer, name: string, verb: string, { _id, routing }: Action, source: string): Json {
  try {
    const refused = server.refuseItem(_id)
    if (refused) throw new Refusal(refused.status, refused.type, refused.reason)
    const result = writable(server, name).write(_id, routing, source, verb === 'create')
    return { _id, result, status: result === 'created' ? 201 : 200 }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { _id, status: error.status, error: { type: error.type, reason: error.message } }
  }
}

/** A server makes an index that is written to and is not there. */
function writable(server: SearchServer, name: string): Index {
  return server.index(name) ?? server.create(name)
}

export function writeDocument(server: SearchServer, [name, id]: readonly string[], request: Request): Answered {
  const { method, query, body, path } = request
  const routing = query.get('routing') ?? undefined
  const wanted = query.get('if_seq_no')
  const index = method === 'DELETE' ? one(server, name!) : writable(server, name!)
  const old = [...index.docs.values()].find((doc) => doc.id === id)
  if (wanted !== null && String(old?.seqNo) !== wanted)
    throw new Refusal(409, 'version_conflict_engine_exception', `[${id}]: version conflict`)
  if (method === 'DELETE') {
    const found = index.remove(id!, routing)
    return { status: found ? 200 : 404, body: { result: found ? 'deleted' : 'not_found' } }
  }
  const result = index.write(id!, routing, body, path.includes('/_create/'))
  const { seqNo } = [...index.docs.values()].findLast((doc) => doc.id === id)!
  return { status: result === 'created' ? 201 : 200, body: { result, _id: id!, _seq_no: seqNo, _primary_term: 1 } }
}

export function readDocument(server: SearchServer, [name, id]: readonly string[]): Answered {
  const doc = [...one(server, name!).docs.values()].find((each) => each.id === id)
  if (!doc) return { status: 404, body: { _id: id!, found: false } }
  return {
    status: 200,
    body: { _id: id!, found: true, _seq_no: doc.seqNo, _primary_term: 1, _source: JSON.parse(doc.source) as Json },
  }
}

/** Only behind a write block; nearly all settings come along, the block too, but not the replicas and no alias. */
export function clone(server: SearchServer, [from, to]: readonly string[], { body }: Request): Json {
  const given = (parse(body, ['settings', 'aliases'])['settings'] ?? {}) as Record<string, Json>
  const source = server.indices.get(from!) ?? missing(from!)
  if (!source.isBlocked)
    throw new Refusal(
      500,
      'illegal_state_exception',
      `index ${from} must be read-only to resize index. use "index.blocks.write=true"`,
    )
  const {
    uuid: _u,
    provided_name: _p,
    creation_date: _c,
    version: _v,
    auto_expand_replicas: _a,
    ...settings
  } = source.settings
  const own = Object.fromEntries(Object.entries(given).map(([key, value]) => [key.replace('index.', ''), value]))
  const made = server.create(
    to!,
    { ...settings, number_of_replicas: '1', ...own, resize: { source: { name: from!, uuid: source.uuid } } },
    source.mappings,
  )
  made.docs = new Map(source.docs)
  for (const [shard, highest] of source.highest) made.highest.set(shard, highest)
  made.refresh()
  return { acknowledged: true, shards_acknowledged: true, index: to! }
}
