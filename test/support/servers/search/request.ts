import type { SearchServer } from '../search.ts'
import { type Body, type Index, type Json, Refusal } from './store.ts'

export type Request = {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly type: string | undefined
  readonly body: string
}

export type Answered = { readonly status: number; readonly body: Json }

export function parse(text: string, keys: readonly string[]): Body {
  const body = JSON.parse(text === '' ? '{}' : text) as Body
  const unknown = Object.keys(body).find((key) => !keys.includes(key))
  if (unknown !== undefined) throw new Refusal(400, 'parsing_exception', `unknown key [${unknown}]`)
  return body
}

export function missing(name: string): never {
  throw new Refusal(404, 'index_not_found_exception', `no such index [${name}]`)
}

/** Of exactly this name, or behind an alias of it. */
export function one(server: SearchServer, name: string): Index {
  return server.index(name) ?? missing(name)
}
