import type { SearchServer } from '../search.ts'
import { missing } from './request.ts'
import { type Body, type Index, type Json, Refusal } from './store.ts'

const addKeys = [
  'index',
  'alias',
  'filter',
  'routing',
  'index_routing',
  'search_routing',
  'is_write_index',
  'is_hidden',
]

/** All actions or none. `remove_index` comes first; an alias cannot have the name of an index that is still there. */
export function changeAliases(server: SearchServer, { actions }: Body): Json {
  const indices = new Map(server.indices)
  const aliases = new Map([...indices.values()].map((index) => [index, new Map(index.aliases)]))
  const list = (actions as readonly Body[]).map((each) => Object.entries(each)[0] as [string, Body])
  for (const [verb, { index, ...more }] of list.filter(([verb]) => verb === 'remove_index')) {
    if (Object.keys(more).length > 0) throw new Refusal(400, 'parsing_exception', `unknown key in [${verb}]`)
    if (!indices.delete(String(index))) refuseAlias(server, String(index))
  }
  const concrete = (name: string): Index => indices.get(name) ?? refuseAlias(server, name)
  for (const [verb, body] of list) {
    if (verb === 'remove_index') continue
    const { index, alias, ...more } = body
    const of = aliases.get(concrete(String(index)))!
    const name = String(alias)
    if (verb === 'remove') {
      if (!of.delete(name)) throw new Refusal(404, 'aliases_not_found_exception', `aliases [${name}] missing`)
    } else if (verb === 'add') {
      const unknown = Object.keys(body).find((key) => !addKeys.includes(key))
      if (unknown !== undefined) throw new Refusal(400, 'parsing_exception', `[add] unknown field [${unknown}]`)
      if (indices.has(name))
        throw new Refusal(
          400,
          'invalid_alias_name_exception',
          `Invalid alias name [${name}]: an index or data stream exists with the same name as the alias`,
        )
      of.set(name, more)
    } else throw new Refusal(400, 'parsing_exception', `unknown action [${verb}]`)
  }
  refuseTwoWriters([...indices.values()].map((index) => aliases.get(index)!))
  for (const name of server.indices.keys()) if (!indices.has(name)) server.indices.delete(name)
  for (const [index, now] of aliases) {
    index.aliases.clear()
    for (const [name, body] of now) index.aliases.set(name, body)
  }
  return { acknowledged: true, errors: false }
}

function refuseAlias(server: SearchServer, name: string): never {
  if (!server.index(name)) missing(name)
  throw new Refusal(
    400,
    'illegal_argument_exception',
    `The provided expression [${name}] matches an alias, specify the corresponding concrete indices instead.`,
  )
}

function refuseTwoWriters(all: readonly ReadonlyMap<string, Body>[]): void {
  const writers = all.flatMap((of) =>
    [...of].filter(([, body]) => body['is_write_index'] === true).map(([name]) => name),
  )
  const twice = writers.find((name, position) => writers.indexOf(name) !== position)
  if (twice !== undefined)
    throw new Refusal(500, 'illegal_state_exception', `alias [${twice}] has more than one write index`)
}
