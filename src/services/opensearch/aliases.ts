import type { Client } from './client.ts'
import type { LiveIndex } from './definitions.ts'
import type { Exact, ExactObject } from './exact-json.ts'

/** What an alias has besides its name: a filter, routing, whether writes go there. */
export type Aliases = Readonly<Record<string, ExactObject>>

export type Action = { readonly [verb: string]: { readonly [key: string]: Exact | undefined } }

export function addAll(physical: string, aliases: Aliases): Action[] {
  return Object.entries(aliases).map(([alias, body]) => ({ add: { ...body, index: physical, alias } }))
}

/** An index that has the name itself goes with all its aliases; it was cloned. One of ours loses its names and stays. */
export function removeAll({ name, physical, definition }: LiveIndex): Action[] {
  if (name === physical) return [{ remove_index: { index: physical } }]
  return [name, ...Object.keys(definition.aliases)].map((alias) => ({ remove: { index: physical, alias } }))
}

/** All of it at once, or nothing. */
export async function changeAliases(client: Client, actions: readonly Action[]): Promise<void> {
  if (actions.length > 0) await client.send('POST', '/_aliases', { body: { actions } })
}
