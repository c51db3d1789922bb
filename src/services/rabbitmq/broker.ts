import { readFileSync } from 'node:fs'
import path from 'node:path'
import { EnvError, messageOf } from '../../domain/errors.ts'
import { describeEndpoint, type Endpoint, parseEndpoint } from '../connection/endpoint.ts'
import type { ServiceContext } from '../service-driver.ts'

/** A broker, and the one virtual host in it that the configuration names. Holds a secret. */
export type Broker = {
  readonly name: string
  readonly endpoint: Endpoint
  readonly management: Endpoint
  readonly vhost: string
  readonly user: string
  readonly password: string
  /** What TLS is made with; undefined for none. */
  readonly tls: Tls | undefined
  readonly place: string
  /** Whether messages of a quorum queue with a delivery limit may be read: each reading counts as a delivery. */
  readonly spendsDeliveries: boolean
}

type Tls = { readonly ca: string | undefined; readonly rejectUnauthorized: boolean }

export type BrokerConfig = {
  readonly url: string
  readonly management?: string | undefined
  readonly run?: readonly string[] | undefined
  readonly deliveryLimit?: 'leave' | 'spend' | undefined
}

export function brokerOf(config: BrokerConfig, context: ServiceContext): Broker {
  const options = ['cacertfile', 'verify']
  const endpoint = parseEndpoint(config, context, { schemes: ['amqp', 'amqps'], port: 5672, options })
  if (endpoint.socketPath !== undefined) {
    throw new EnvError('usage', `${context.name}: RabbitMQ has no Unix socket`, {
      hint: 'leave socketPath out of the url',
    })
  }
  const isTls = endpoint.scheme === 'amqps'
  const port = isTls && !/:\d+(\/|\?|$)/.test(config.url.replace(/^[^@]*@/, '')) ? 5671 : endpoint.port
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host
  const usual = isTls ? `https://${host}:15671` : `http://${host}:15672`
  const management = parseEndpoint(
    { url: config.management ?? usual, run: config.run },
    { ...context, nameHere: undefined },
    { schemes: ['http', 'https'], port: isTls ? 15671 : 15672, options },
  )
  const vhost = endpoint.database ?? '/'
  if (Buffer.byteLength(vhost) > 255)
    throw new EnvError('usage', `${context.name}: a vhost's name has at most 255 bytes`)
  const user = endpoint.user ?? 'guest'
  return {
    name: context.name,
    endpoint: { ...endpoint, port },
    management,
    vhost,
    user,
    password: endpoint.password ?? (endpoint.user === undefined ? 'guest' : ''),
    tls: tlsOf(endpoint, management, context),
    place: describeEndpoint({ ...endpoint, port, database: `vhost ${vhost}` }),
    spendsDeliveries: config.deliveryLimit === 'spend',
  }
}

function tlsOf(endpoint: Endpoint, management: Endpoint, context: ServiceContext): Tls | undefined {
  if (endpoint.scheme !== 'amqps' && management.scheme !== 'https') return undefined
  const { cacertfile, verify } = { ...management.options, ...endpoint.options }
  if (verify !== undefined && verify !== 'verify_none' && verify !== 'verify_peer') {
    throw new EnvError('usage', `${context.name}: verify is ${verify}`, { hint: 'verify_peer, or verify_none' })
  }
  return {
    ca:
      cacertfile === undefined ? undefined : readPem(path.resolve(context.projectDirectory, cacertfile), context.name),
    rejectUnauthorized: verify !== 'verify_none',
  }
}

function readPem(file: string, name: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new EnvError('refused', `${name}: ${file} cannot be read: ${messageOf(cause)}`, { cause })
  }
}
