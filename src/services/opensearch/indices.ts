import { EnvError } from '../../domain/errors.ts'
import type { Client } from './client.ts'
import { asObject, at, isList } from './exact-json.ts'

/** Servers take a first line of 4 KiB. */
const longestList = 3000

/** Names for one path, separated by commas, in as many lists as needed. */
export function nameLists(names: readonly string[]): string[] {
  const lists: string[] = []
  for (const name of names.map(encodeURIComponent)) {
    const last = lists.at(-1)
    if (last !== undefined && last.length + name.length < longestList) lists[lists.length - 1] = `${last},${name}`
    else lists.push(name)
  }
  return lists
}

/** All that was acknowledged becomes visible to a search. */
export async function refresh(client: Client, physicals: readonly string[]): Promise<void> {
  for (const list of nameLists(physicals)) {
    const answer = await client.json('POST', `/${list}/_refresh`)
    if (at(answer, '_shards', 'failed') === 0) continue
    throw new EnvError('unavailable', `${client.server.name}: not all shards of ${list} could be refreshed`)
  }
}

/**
 * What tells whether an index was written to: its uuid and the highest number of an operation in each shard. Every write and delete takes a
 * number. Equal evidence means: the same documents.
 */
export async function evidenceOf(
  client: Client,
  indices: readonly { readonly physical: string; readonly uuid: string }[],
): Promise<Map<string, string>> {
  const evidence = new Map<string, string>()
  for (const list of nameLists(indices.map(({ physical }) => physical))) {
    const told = at(await client.json('GET', `/${list}/_stats/docs`, { query: { level: 'shards' } }), 'indices')
    for (const [physical, index] of Object.entries(asObject(told))) {
      const shards = Object.entries(asObject(at(index, 'shards'))).flatMap(([number, copies]) => {
        const primary = (isList(copies) ? copies : []).find((copy) => at(copy, 'routing', 'primary') === true)
        const highest = at(primary, 'seq_no', 'max_seq_no')
        return highest === undefined ? [] : [`${number}=${String(highest)}`]
      })
      const { uuid } = indices.find((each) => each.physical === physical) ?? { uuid: '' }
      if (shards.length > 0) evidence.set(physical, [uuid, ...shards].join(' '))
    }
  }
  return evidence
}

export async function countDocuments(client: Client, physical: string): Promise<number> {
  const answer = await client.json('GET', `/${encodeURIComponent(physical)}/_count`)
  return at(answer, '_shards', 'failed') === 0 ? Number(at(answer, 'count')) : -1
}

/** Waits until what writers are doing is done; from then on writing is refused. */
export async function blockWrites(client: Client, physical: string): Promise<void> {
  const answer = await client.json('PUT', `/${encodeURIComponent(physical)}/_block/write`)
  if (at(answer, 'acknowledged') === true && at(answer, 'shards_acknowledged') !== false) return
  throw new EnvError('unavailable', `${client.server.name}: writing to ${physical} could not be stopped`)
}

export async function allowWrites(client: Client, physical: string): Promise<void> {
  await client.send('PUT', `/${encodeURIComponent(physical)}/_settings`, { body: { 'index.blocks.write': null } })
}

export async function dropIndex(client: Client, physical: string): Promise<void> {
  await client.send('DELETE', `/${encodeURIComponent(physical)}`, { also: [404] })
}
