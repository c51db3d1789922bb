import { EnvError } from '../../domain/errors.ts'
import { isThisMachine } from '../../domain/host.ts'
import type { ServiceContext } from '../service-driver.ts'

/** Where a service listens and how to log in, with every `${NAME}` and `{env}` filled in. Holds a secret: never printed, never stored. */
export type Endpoint = {
  readonly scheme: string
  readonly host: string
  readonly port: number
  /** A Unix socket; then `host` and `port` only name the place. */
  readonly socketPath: string | undefined
  readonly user: string | undefined
  readonly password: string | undefined
  /** What the path names: a database, an index, a virtual host. */
  readonly database: string | undefined
  /** The query's parameters, without `socketPath`. */
  readonly options: Readonly<Record<string, string>>
  /** What the tools' words are put behind: `docker compose exec -T db`. */
  readonly run: readonly string[] | undefined
}

export type EndpointRules = {
  readonly schemes: readonly string[]
  readonly port: number
  /** Parameters that the query may hold, besides `socketPath`. */
  readonly options: readonly string[]
}

/**
 * Reads the URL of a service's configuration. A text that is one `${NAME}` and nothing else stands for a whole URL; elsewhere each `${NAME}` is
 * filled into its part after the URL was taken apart, so that a password may hold any character. `{env}` stands for the environment's key, in
 * the path alone; a name that the configuration's `env:` gives takes the place of the whole path.
 */
export function parseEndpoint(
  configured: { readonly url: string; readonly run?: readonly string[] | undefined },
  context: Pick<ServiceContext, 'name' | 'environmentKey' | 'nameHere' | 'variable' | 'allowed'>,
  rules: EndpointRules,
): Endpoint {
  const { name } = context
  const whole = /^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$/.exec(configured.url)
  const fill = (part: string) => (whole ? part : fillIn(part, context))
  const url = parseUrl(whole ? fillIn(configured.url, context) : configured.url, context)
  const scheme = url.protocol.slice(0, -1)
  if (!rules.schemes.includes(scheme)) {
    throw new EnvError('usage', `${name}: the url begins with ${scheme}:, not ${rules.schemes.join(': or ')}:`)
  }
  const parameters = Object.fromEntries([...url.searchParams].map(([key, value]) => [key, fill(value)]))
  const { socketPath, ...options } = parameters
  const unknown = Object.keys(options).find((key) => !rules.options.includes(key))
  if (unknown !== undefined) {
    throw new EnvError('usage', `${name}: the url has an unknown parameter ${unknown}`, {
      hint: `known: ${['socketPath', ...rules.options].join(', ')}`,
    })
  }
  const path = fill(decode(url.pathname.replace(/^\//, ''), name))
  const endpoint = {
    scheme,
    host: fill(decode(url.hostname, name)).replace(/^\[|\]$/g, '') || '127.0.0.1',
    port: url.port === '' ? rules.port : Number(url.port),
    // An empty one is none: the host counts, and needs consent.
    socketPath: socketPath || undefined,
    user: fill(decode(url.username, name)) || undefined,
    password: fill(decode(url.password, name)) || undefined,
    database: context.nameHere ?? (path.replaceAll('{env}', context.environmentKey) || undefined),
    options,
    run: configured.run,
  }
  refuseStrange(endpoint, context)
  return endpoint
}

/** How people see an endpoint: never with its password. */
export function describeEndpoint({ host, port, socketPath, database, run }: Endpoint): string {
  const place = socketPath ?? `${host.includes(':') ? `[${host}]` : host}:${port}`
  return `${database === undefined ? '' : `${database} on `}${place}${run ? ` (by ${run.join(' ')})` : ''}`
}

function refuseStrange(
  { host, socketPath, run }: Endpoint,
  { name, allowed }: Pick<ServiceContext, 'name' | 'allowed'>,
) {
  if (allowed) return
  const hint = 'look at the configuration, then: git env allow'
  if (run) throw new EnvError('refused', `${name} is reached by a command of its own: ${run.join(' ')}`, { hint })
  if (socketPath === undefined && !isThisMachine(host)) {
    throw new EnvError('refused', `${name} is on ${host}, which is not this machine`, { hint })
  }
}

/** A URL that cannot be read is not shown: it may hold a password. */
function parseUrl(text: string, { name }: Pick<ServiceContext, 'name'>): URL {
  const url = URL.parse(text)
  if (url) return url
  throw new EnvError('usage', `${name}: its url is not one`, {
    hint: 'such as mysql://user:${PASSWORD}@127.0.0.1:3306/shop; % @ / ? # in a password go in by a ${NAME}',
  })
}

function decode(text: string, name: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new EnvError('usage', `${name}: its url has a % that begins no escape`, { hint: 'write it as %25' })
  }
}

function fillIn(text: string, { name, variable }: Pick<ServiceContext, 'name' | 'variable'>): string {
  return text.replaceAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, key: string) => {
    const value = variable(key)
    if (value !== undefined) return value
    throw new EnvError('refused', `${name}: the variable ${key} is not set`, {
      hint: `set it in the environment, or in .git-env.local (a line ${key}=…), which git must ignore`,
    })
  })
}
