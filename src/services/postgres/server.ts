import { readFileSync } from 'node:fs'
import path from 'node:path'
import { EnvError, messageOf } from '../../domain/errors.ts'
import { describeEndpoint, type Endpoint, parseEndpoint } from '../connection/endpoint.ts'
import type { ServiceContext } from '../service-driver.ts'

const sslModes = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const

/** A server and the one database that the configuration names in it. Holds a secret. */
export type Server = {
  readonly name: string
  readonly endpoint: Endpoint
  readonly database: string
  readonly user: string
  /** The folder of a Unix socket and the number in its name, as clients of PostgreSQL want it told. */
  readonly socket: { readonly folder: string; readonly port: number } | undefined
  readonly ssl: Ssl
  readonly place: string
}

type Ssl = {
  readonly mode: (typeof sslModes)[number]
  /** Absolute paths of PEM files. */
  readonly rootCertificate: string | undefined
  readonly certificate: string | undefined
  readonly key: string | undefined
}

export function serverOf(
  config: { readonly url: string; readonly run?: readonly string[] | undefined },
  context: ServiceContext,
): Server {
  const endpoint = parseEndpoint(config, context, {
    schemes: ['postgres', 'postgresql', 'pgsql'],
    port: 5432,
    options: ['sslmode', 'sslrootcert', 'sslcert', 'sslkey'],
  })
  const { name } = context
  if (endpoint.database === undefined) {
    throw new EnvError('usage', `${name}: the url names no database`, {
      hint: 'such as postgres://user:${PASSWORD}@127.0.0.1/shop_{env}',
    })
  }
  if (Buffer.byteLength(endpoint.database) > 63) {
    throw new EnvError('usage', `${name}: the database's name ${endpoint.database} is longer than 63 bytes`)
  }
  return {
    name,
    endpoint,
    database: endpoint.database,
    user: endpoint.user ?? 'postgres',
    socket: socketOf(endpoint),
    ssl: sslOf(endpoint, name, context.projectDirectory),
    place: describeEndpoint(endpoint),
  }
}

/** `?socketPath=` may name the socket itself or, as PostgreSQL's own clients have it, its folder. */
function socketOf({ socketPath, port }: Endpoint): Server['socket'] {
  if (socketPath === undefined) return undefined
  const named = /^\.s\.PGSQL\.(\d+)$/.exec(path.basename(socketPath))
  if (named) return { folder: path.dirname(socketPath), port: Number(named[1]) }
  return { folder: socketPath.replace(/(.)\/+$/, '$1'), port }
}

export function socketFile({ folder, port }: NonNullable<Server['socket']>): string {
  return path.join(folder, `.s.PGSQL.${port}`)
}

function sslOf({ options, socketPath, run }: Endpoint, name: string, directory: string): Ssl {
  // A socket, a tunnel: nobody listens in between. Elsewhere encrypted where the server can, as PostgreSQL's clients do.
  const usual = socketPath !== undefined || run !== undefined ? 'disable' : 'prefer'
  const mode = sslModes.find((each) => each === (options['sslmode'] ?? usual))
  if (!mode) {
    throw new EnvError('usage', `${name}: sslmode is ${options['sslmode']}`, { hint: `one of: ${sslModes.join(', ')}` })
  }
  const file = (key: string) => (options[key] === undefined ? undefined : path.resolve(directory, options[key]))
  return { mode, rootCertificate: file('sslrootcert'), certificate: file('sslcert'), key: file('sslkey') }
}

/** What the client library wants to know of encryption; undefined for none. */
export function clientSsl({ ssl, name }: Server): Record<string, unknown> | undefined {
  if (ssl.mode === 'disable') return undefined
  const verified = ssl.mode === 'verify-ca' || ssl.mode === 'verify-full'
  const pem = (file: string | undefined) => (file === undefined ? undefined : readPem(file, name))
  return {
    rejectUnauthorized: verified,
    ...(ssl.mode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
    ca: pem(ssl.rootCertificate),
    cert: pem(ssl.certificate),
    key: pem(ssl.key),
  }
}

function readPem(file: string, name: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new EnvError('refused', `${name}: ${file} cannot be read: ${messageOf(cause)}`, { cause })
  }
}
