import { EnvError } from '../../domain/errors.ts'
import type { Client } from './client.ts'
import { at } from './exact-json.ts'

/** What answers, by what it says of itself; the type in the configuration is only a name. */
export type Product = {
  readonly kind: 'opensearch' | 'elasticsearch'
  readonly title: 'OpenSearch' | 'Elasticsearch'
  readonly version: string
  /** Whether it leaves vectors out of documents unless asked for them (Elasticsearch 9.2). */
  readonly hidesVectors: boolean
}

/** OpenSearch has points in time since 2.4; Elasticsearch sorts by `_shard_doc` since 7.12. */
const oldest = { opensearch: [2, 4], elasticsearch: [7, 12] } as const

export async function findProduct(client: Client): Promise<Product> {
  const { name, place } = client.server
  const version = at(await client.json('GET', '/'), 'version')
  const number = at(version, 'number')
  if (typeof number !== 'string') {
    throw new EnvError('unavailable', `${name}: what answers at ${place} is neither OpenSearch nor Elasticsearch`)
  }
  const kind = at(version, 'distribution') === 'opensearch' ? 'opensearch' : 'elasticsearch'
  const title = kind === 'opensearch' ? 'OpenSearch' : 'Elasticsearch'
  const [major = 0, minor = 0] = number.split('.').map(Number)
  if (!isAtLeast([major, minor], oldest[kind]) || at(version, 'build_flavor') === 'oss') {
    throw new EnvError('refused', `${name}: ${title} ${number} gives no point in time to read at`, {
      hint: 'OpenSearch 2.4 or later, Elasticsearch 7.12 or later (not its "oss" flavor)',
    })
  }
  return { kind, title, version: number, hidesVectors: kind === 'elasticsearch' && isAtLeast([major, minor], [9, 2]) }
}

function isAtLeast([major, minor]: readonly [number, number], [wanted, least]: readonly [number, number]): boolean {
  return major > wanted || (major === wanted && minor >= least)
}
