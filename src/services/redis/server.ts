import { readFileSync } from 'node:fs'
import { EnvError, messageOf } from '../../domain/errors.ts'
import { describeEndpoint, type Endpoint, parseEndpoint } from '../connection/endpoint.ts'
import type { ServiceContext } from '../service-driver.ts'

/** One index of a server, or all of it. */
export type Server = {
  readonly name: string
  readonly endpoint: Endpoint
  /** undefined: the whole server. */
  readonly index: number | undefined
  /** The index that a restore of one index is staged in. */
  readonly spare: number | undefined
  readonly ca: { readonly ca?: Buffer }
  /** For people. */
  readonly place: string
}

export type RedisConfig = {
  readonly url: string
  readonly run?: readonly string[] | undefined
  readonly spare?: number | undefined
}

export function serverOf(config: RedisConfig, context: ServiceContext): Server {
  const { name } = context
  const endpoint = parseEndpoint(config, context, {
    schemes: ['redis', 'rediss', 'valkey', 'valkeys'],
    port: 6379,
    options: ['sslCa'],
  })
  const { database } = endpoint
  if (database !== undefined && !/^\d{1,5}$/.test(database)) {
    throw new EnvError('usage', `${name}: ${JSON.stringify(database)} is no index`, {
      hint: 'an index is a number, such as redis://127.0.0.1/0; without one the whole server is meant',
    })
  }
  const index = database === undefined ? undefined : Number(database)
  if (index === undefined && config.spare !== undefined) {
    throw new EnvError('usage', `${name}: a spare is for a url that names an index`, {
      hint: 'of a whole server, any empty index is taken; leave spare out',
    })
  }
  if (index !== undefined && index === config.spare) {
    throw new EnvError('usage', `${name}: its spare is the index that the url names`, {
      hint: 'give an index that nothing uses',
    })
  }
  const where = describeEndpoint({ ...endpoint, database: undefined })
  return {
    name,
    endpoint: { ...endpoint, scheme: ['rediss', 'valkeys'].includes(endpoint.scheme) ? 'rediss' : 'redis' },
    index,
    spare: config.spare,
    ca: authority(endpoint, name),
    place: index === undefined ? `all of ${where}` : `index ${index} on ${where}`,
  }
}

function authority({ options }: Endpoint, name: string): { readonly ca?: Buffer } {
  const file = options['sslCa']
  if (file === undefined) return {}
  try {
    return { ca: readFileSync(file) }
  } catch (cause) {
    throw new EnvError('usage', `${name}: sslCa cannot be read: ${messageOf(cause)}`, { cause })
  }
}
