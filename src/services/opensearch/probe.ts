import { plural } from '../../domain/format-text.ts'
import type { Probe } from '../service-driver.ts'
import type { Client } from './client.ts'
import { findIndices } from './definitions.ts'
import { asObject, at } from './exact-json.ts'
import { nameLists } from './indices.ts'
import { findOthers } from './others.ts'
import { findProduct } from './product.ts'

/** Until somebody has, and says so. */
const untried = 'not yet run against a real server: this driver was tested against a stand-in only'

export async function probeIndices(client: Client): Promise<Probe> {
  const product = await findProduct(client)
  const { live, unsupported } = await findIndices(client)
  const others = await findOthers(client)
  const count = Object.values(others).reduce((sum, list) => sum + list.length, 0)
  const more = count === 0 ? '' : `, ${plural(count, 'template or pipeline', 'templates and pipelines')}`
  const present = live.size > 0 || count > 0
  return {
    presence: present ? 'present' : 'absent',
    summary: `${product.title} ${product.version}, ${plural(live.size, 'index', 'indices')}${more}`,
    bytes: await bytesOf(
      client,
      [...live.values()].filter(({ isClosed }) => !isClosed).map(({ physical }) => physical),
    ),
    versions: { [product.title.toLowerCase()]: product.version },
    rung: 'a point of its own; writers are not held, and shards are read some milliseconds apart',
    advice: 'to have it at the common point, let the freeze hook stop what writes to it',
    swap: 'rename',
    warnings: [
      untried,
      ...unsupported.map((text) => `${text}: no snapshot can be taken while the configuration names it`),
    ],
  }
}

async function bytesOf(client: Client, physicals: readonly string[]): Promise<number> {
  let bytes = 0
  for (const list of nameLists(physicals)) {
    const told = at(await client.json('GET', `/${list}/_stats/store`, { query: { level: 'indices' } }), 'indices')
    for (const index of Object.values(asObject(told)))
      bytes += Number(at(index, 'primaries', 'store', 'size_in_bytes') ?? 0)
  }
  return bytes
}
