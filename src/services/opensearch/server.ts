import { readFileSync } from 'node:fs'
import path from 'node:path'
import { EnvError, messageOf } from '../../domain/errors.ts'
import { describeEndpoint, type Endpoint, parseEndpoint } from '../connection/endpoint.ts'
import type { ServiceContext } from '../service-driver.ts'
import { type Patterns, patternsOf } from './patterns.ts'

export type Config = {
  readonly url: string
  readonly run?: readonly string[] | undefined
  readonly indices: readonly string[]
  readonly templates?: readonly string[] | undefined
  readonly pipelines?: readonly string[] | undefined
}

/** A server, and what in it belongs to the project. Holds a secret. */
export type Server = {
  readonly name: string
  readonly type: 'opensearch' | 'elasticsearch'
  readonly endpoint: Endpoint
  readonly indices: Patterns
  readonly templates: Patterns
  readonly pipelines: Patterns
  readonly place: string
  readonly tls: { readonly ca: string | undefined; readonly verified: boolean }
}

export function serverOf(config: Config, context: ServiceContext, type: Server['type']): Server {
  const { name } = context
  const rules = { schemes: ['http', 'https'], port: 9200, options: ['tls', 'ca'] }
  // The environment's key is part of names of indices here, not of the url.
  const endpoint = withUsualPort(config.url, parseEndpoint(config, { ...context, nameHere: undefined }, rules))
  const environment = (context.nameHere ?? context.environmentKey).toLowerCase()
  const indices = patternsOf(name, 'indices', config.indices, environment)
  return {
    name,
    type,
    endpoint,
    indices,
    templates: patternsOf(name, 'templates', config.templates ?? [], environment),
    pipelines: patternsOf(name, 'pipelines', config.pipelines ?? [], environment),
    place: `${indices.texts.join(', ')} on ${describeEndpoint({ ...endpoint, database: undefined })}`,
    tls: tlsOf(endpoint, name, context.projectDirectory),
  }
}

/** `http://host:80` and `https://host:443` lose their port where URLs are read; what is written there is meant. */
function withUsualPort(url: string, endpoint: Endpoint): Endpoint {
  const written = /:(80|443)(?=[/?#]|$)/.exec(url.replace(/^.*@/s, ''))?.[1]
  return written === undefined ? endpoint : { ...endpoint, port: Number(written) }
}

function tlsOf({ options }: Endpoint, name: string, directory: string): Server['tls'] {
  const mode = options['tls'] ?? 'verified'
  if (mode !== 'verified' && mode !== 'unverified') {
    throw new EnvError('usage', `${name}: tls=${mode} is not known`, { hint: 'one of: verified, unverified' })
  }
  const file = options['ca']
  return {
    verified: mode === 'verified',
    ca: file === undefined ? undefined : readPem(path.resolve(directory, file), name),
  }
}

function readPem(file: string, name: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new EnvError('refused', `${name}: ${file} cannot be read: ${messageOf(cause)}`, { cause })
  }
}
