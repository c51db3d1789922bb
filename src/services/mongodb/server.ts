import { EnvError } from '../../domain/errors.ts'
import { describeEndpoint, parseEndpoint } from '../connection/endpoint.ts'
import type { ProgramOptions } from '../connection/program.ts'
import type { ServiceContext } from '../service-driver.ts'

/** One database of a server, and the ways into it. */
export type Server = Pick<ProgramOptions, 'run' | 'secrets'> & {
  readonly name: string
  readonly database: string
  /** Without the password: for the tools' words. */
  readonly uri: string
  /** With it: for the shell's standard input alone. */
  readonly secretUri: string
  /** What mongodump and mongorestore read first from standard input; undefined where they ask for nothing. */
  readonly password: string | undefined
  /** For people. */
  readonly place: string
}

export type MongoConfig = { readonly url: string; readonly run?: readonly string[] | undefined }

/** Of a connection string; none of them is a secret. */
const options = [
  'appName authMechanism authSource connectTimeoutMS directConnection replicaSet retryReads retryWrites',
  'serverSelectionTimeoutMS ssl tls tlsAllowInvalidCertificates tlsAllowInvalidHostnames tlsCAFile tlsCertificateKeyFile',
  'tlsInsecure w',
].flatMap((line) => line.split(' '))

/** The tools ask for no password then. */
const withoutPassword = new Set(['MONGODB-X509', 'GSSAPI', 'MONGODB-OIDC'])

export function serverOf(config: MongoConfig, context: ServiceContext): Server {
  const { name } = context
  const endpoint = parseEndpoint(config, context, { schemes: ['mongodb', 'mongodb+srv'], port: 27017, options })
  const { scheme, host, port, socketPath, user, password, database, run } = endpoint
  refuseStrange(name, database)
  if (password !== undefined && (user === undefined || /[\u0000-\u001f\u007f]/.test(password))) {
    const what = user === undefined ? 'a password without a user' : 'a password that holds a control character'
    throw new EnvError('usage', `${name}: its url has ${what}`, {
      hint: 'such as mongodb://app:${PASSWORD}@127.0.0.1/shop?authSource=admin',
    })
  }
  const asks = user !== undefined && !withoutPassword.has(endpoint.options['authMechanism'] ?? '')
  const listening = scheme === 'mongodb+srv' ? host : `${host.includes(':') ? `[${host}]` : host}:${port}`
  const address = socketPath === undefined ? listening : encodeURIComponent(socketPath)
  const query = new URLSearchParams(endpoint.options).toString()
  const uriFor = (login: string) => `${scheme}://${login}${address}/${database}${query === '' ? '' : `?${query}`}`
  const login = user === undefined ? '' : encodeURIComponent(user)
  const secret = password === undefined ? '' : encodeURIComponent(password)
  return {
    name,
    database: database!,
    run,
    secrets: [password ?? '', secret],
    uri: uriFor(login === '' ? '' : `${login}@`),
    secretUri: uriFor(login === '' ? '' : `${login}${secret === '' ? '' : `:${secret}`}@`),
    password: asks ? (password ?? '') : undefined,
    place: describeEndpoint(endpoint),
  }
}

/** Names that a server takes, but for its own databases. */
function refuseStrange(name: string, database: string | undefined): void {
  if (database === undefined) {
    throw new EnvError('usage', `${name}: its url names no database`, { hint: 'such as mongodb://127.0.0.1/shop' })
  }
  if (/^(admin|local|config)$/.test(database)) {
    throw new EnvError('usage', `${name}: ${database} is the server's own database`, { hint: "name the project's own" })
  }
  if (/[/\\. "$*<>:|?\u0000]/.test(database) || Buffer.byteLength(database) > 63) {
    throw new EnvError('usage', `${name}: ${JSON.stringify(database)} can be no name of a database`)
  }
}
