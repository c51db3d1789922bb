import { readEncryption } from './encryption.ts'
import { typeByScheme } from './engines.ts'
import { type FoundService, portOf, type Value } from './found.ts'
import { fill, type Template } from './templates.ts'

type Address = Pick<
  FoundService,
  'type' | 'host' | 'port' | 'socketPath' | 'user' | 'password' | 'database' | 'encryption' | 'authSource'
>

/** Takes a service's url apart, as frameworks write it; undefined when it is none, or of no service that is known here. */
export function readServerUrl({ text, values }: Template): Address | undefined {
  const filled = text
    .trim()
    .replace(/:(__git_env_\d+__)(?=[/?]|$)/, (_, port: string) => `:${fill(port, values).value ?? ''}`)
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(filled)?.[1]?.toLowerCase()
  const type = scheme === undefined ? undefined : typeByScheme(scheme)
  // Frameworks leave the host out where a socket is meant; a url must have one beside a user.
  const url = type && URL.parse(filled.replace(/^[a-z][a-z0-9+.-]*:/i, 'service:').replace(/@(?=\/)/, '@localhost'))
  if (!type || !url) return undefined
  const part = (encoded: string): Value | undefined => {
    const decoded = decode(encoded)
    if (decoded === undefined) return {}
    return decoded === '' ? undefined : fill(decoded, values)
  }
  const parameter = (name: string) => url.searchParams.get(name) ?? undefined
  // What psql and its like take for a host that is a folder: the socket's.
  const folder = type === 'postgres' && parameter('host')?.startsWith('/') ? parameter('host') : undefined
  const socketPath = parameter('socketPath') ?? parameter('unix_socket') ?? parameter('socket') ?? folder
  const encryption = readEncryption(type, scheme ?? '', parameter)
  const isMariadb = /mariadb/i.test(parameter('serverVersion') ?? '')
  return {
    type: isMariadb && type === 'mysql' ? 'mariadb' : type,
    host: part(url.hostname.replace(/^\[|\]$/g, '')) ?? { value: 'localhost' },
    port: portOf(url.port),
    socketPath,
    user: part(url.username),
    password: part(url.password),
    database: part(url.pathname.replace(/^\//, '')),
    encryption: Object.keys(encryption).length > 0 ? encryption : undefined,
    authSource: type === 'mongodb' ? parameter('authSource') : undefined,
  }
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** `db`, `db:3307`, `[::1]:3306`, `localhost:/run/mysqld/mysqld.sock`, `:/tmp/mysql.sock`: what PHP applications write as a host. */
export function readHost(host: Value | undefined): Pick<FoundService, 'host' | 'port' | 'socketPath'> {
  const text = host?.value
  if (host === undefined || text === undefined) return { host }
  const socket = /^(?:[^:/]*:)?(\/.*)$/.exec(text)
  if (socket) return { host: { value: 'localhost' }, socketPath: socket[1] }
  const bracketed = /^\[([^\]]*)\](?::(\d+))?$/.exec(text)
  if (bracketed) return { host: { value: bracketed[1] }, port: portOf(bracketed[2]) }
  const plain = /^([^:]*):(\d+)$/.exec(text)
  if (plain) return { host: { value: plain[1] || 'localhost' }, port: portOf(plain[2]) }
  return { host: text === '' ? { value: 'localhost' } : host }
}
