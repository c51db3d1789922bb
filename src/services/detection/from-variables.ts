import { typeByName } from './engines.ts'
import { type FoundService, portOf, serviceName, type Value } from './found.ts'
import { readHost, readServerUrl } from './server-url.ts'
import type { Template } from './templates.ts'

/** The environment of an application, as a file gives it. */
export type Variables = {
  get(name: string): Value | undefined
  names(): Iterable<string>
  /** A value as a template, so that a url's parts keep the variables that they come from. */
  template(name: string): Template | undefined
  /** `file:line`. */
  sourceOf(name: string): string
}

/** What the variables that frameworks agree on say of services: `DATABASE_URL`, `DB_HOST` and its like, `REDIS_URL`, `PGHOST`. */
export function readVariables(variables: Variables): FoundService[] {
  const byUrl = [...variables.names()].flatMap((name) => readUrl(name, variables))
  const bySets = sets.flatMap((set) => readSet(set, variables))
  return [
    ...byUrl,
    ...bySets.filter((found) => !byUrl.some((other) => other.name === found.name && other.type === found.type)),
  ]
}

function readUrl(name: string, variables: Variables): FoundService[] {
  const template = variables.template(name)
  if (!template || /test/i.test(name)) return []
  const source = variables.sourceOf(name)
  const common = { role: 'application' as const, source, reason: `${source} names it (${name})` }
  const search = /^(OPENSEARCH|ELASTICSEARCH)_(?:URL|HOSTS?)$/.exec(name)
  if (search && /^https?:\/\//.test(template.text)) {
    const type = search[1] === 'OPENSEARCH' ? 'opensearch' : 'elasticsearch'
    const address = readServerUrl({ ...template, text: template.text.replace(/^http/, type) })
    return address ? [{ ...common, ...address, name: 'search' }] : []
  }
  // Its host is looked up in the DNS: taken apart it would be another.
  if (/^mongodb\+srv:/i.test(template.text))
    return [{ ...common, type: 'mongodb', name: nameOf(name, 'mongodb'), urlVariable: name }]
  const address = readServerUrl(template)
  return address ? [{ ...common, ...address, name: nameOf(name, address.type) }] : []
}

/** `DATABASE_URL` → `db`, `SHOP_DATABASE_URL` → `shop`, `MESSENGER_TRANSPORT_DSN` → its type. */
function nameOf(variable: string, type: FoundService['type']): string {
  if (/^MESSENGER_/.test(variable)) return type
  const stem = variable.replace(/_?(URL|URI|DSN|DATABASE|DB)(?=_|$)/g, '')
  const isPlain = ['', 'POSTGRES', 'POSTGRESQL', 'MYSQL', 'MARIADB', 'PG'].includes(stem)
  return isPlain ? 'db' : serviceName(stem, 'db')
}

type VariableSet = {
  readonly name: string
  /** Undefined: only other variables tell it. */
  readonly type: FoundService['type'] | undefined
  readonly host: string
  readonly port: string
  readonly user: readonly string[]
  readonly password: readonly string[]
  readonly database: readonly string[]
  readonly socket?: string
  /** The variable without which the set is not there. */
  readonly needs: readonly string[]
}

const sets: readonly VariableSet[] = [
  {
    name: 'db',
    type: undefined,
    host: 'DB_HOST',
    port: 'DB_PORT',
    user: ['DB_USERNAME', 'DB_USER'],
    password: ['DB_PASSWORD', 'DB_PASS'],
    database: ['DB_DATABASE', 'DB_NAME'],
    socket: 'DB_SOCKET',
    needs: ['DB_DATABASE', 'DB_NAME'],
  },
  {
    name: 'db',
    type: 'mysql',
    host: 'WORDPRESS_DB_HOST',
    port: 'WORDPRESS_DB_PORT',
    user: ['WORDPRESS_DB_USER'],
    password: ['WORDPRESS_DB_PASSWORD'],
    database: ['WORDPRESS_DB_NAME'],
    needs: ['WORDPRESS_DB_HOST'],
  },
  ...(['mysql', 'mariadb', 'postgres'] as const).map((type) => {
    const prefix = type.toUpperCase()
    return {
      name: 'db',
      type,
      host: `${prefix}_HOST`,
      port: `${prefix}_PORT`,
      user: [`${prefix}_USER`, `${prefix}_USERNAME`],
      password: [`${prefix}_PASSWORD`],
      database: [`${prefix}_DATABASE`, `${prefix}_DB`],
      needs: [`${prefix}_HOST`],
    }
  }),
  {
    name: 'db',
    type: 'postgres',
    host: 'PGHOST',
    port: 'PGPORT',
    user: ['PGUSER'],
    password: ['PGPASSWORD'],
    database: ['PGDATABASE'],
    needs: ['PGDATABASE'],
  },
  {
    name: 'redis',
    type: 'redis',
    host: 'REDIS_HOST',
    port: 'REDIS_PORT',
    user: ['REDIS_USERNAME'],
    password: ['REDIS_PASSWORD'],
    database: ['REDIS_DB'],
    needs: ['REDIS_HOST'],
  },
  {
    name: 'rabbitmq',
    type: 'rabbitmq',
    host: 'RABBITMQ_HOST',
    port: 'RABBITMQ_PORT',
    user: ['RABBITMQ_USER'],
    password: ['RABBITMQ_PASSWORD'],
    database: ['RABBITMQ_VHOST'],
    needs: ['RABBITMQ_HOST'],
  },
]

function readSet(set: VariableSet, variables: Variables): FoundService[] {
  const first = (names: readonly string[]) => names.map((name) => given(variables, name)).find((value) => value)
  const needed = set.needs.find((name) => given(variables, name))
  const type = set.type ?? engineOfSet(variables)
  if (needed === undefined || type === undefined) return []
  const source = variables.sourceOf(needed)
  const port = portOf(variables.get(set.port)?.value)
  const socket = set.socket === undefined ? undefined : given(variables, set.socket)?.value
  return [
    {
      type,
      name: set.name,
      role: 'application',
      ...(port === undefined ? {} : { port }),
      ...readHost(given(variables, set.host) ?? { value: 'localhost' }),
      ...(socket === undefined ? {} : { socketPath: socket }),
      user: first(set.user),
      password: first(set.password),
      database: first(set.database),
      source,
      reason: `${source} names it (${needed})`,
    },
  ]
}

/** Laravel and Symfony's null, and an empty text, are nothing. */
function given(variables: Variables, name: string): Value | undefined {
  const value = variables.get(name)
  return value?.value === '' || value?.value === 'null' ? undefined : value
}

/** The engine of `DB_*`; undefined where it is one without a server. */
function engineOfSet(variables: Variables): FoundService['type'] | undefined {
  const named = ['DB_CONNECTION', 'DB_DRIVER', 'DB_ADAPTER', 'DB_ENGINE', 'DB_TYPE', 'DB_DIALECT']
    .map((name) => variables.get(name)?.value)
    .find((value) => value)
  if (named !== undefined) return typeByName(named)
  if (['WP_HOME', 'WP_SITEURL', 'WP_ENV'].some((name) => variables.get(name))) return 'mysql'
  const port = variables.get('DB_PORT')?.value
  return port === '3306' ? 'mysql' : port === '5432' ? 'postgres' : 'sql'
}
