import type { ServiceType } from './found.ts'

type Engine = {
  /** Types of one family speak the same protocol: what only says `mysql` may be MariaDB. */
  readonly family: string
  readonly scheme: string
  readonly port: number
  /** A url without a database would not say whose data is meant. */
  readonly needsDatabase: boolean
}

const engines: Readonly<Record<ServiceType, Engine>> = {
  mariadb: { family: 'mysql', scheme: 'mysql', port: 3306, needsDatabase: true },
  mysql: { family: 'mysql', scheme: 'mysql', port: 3306, needsDatabase: true },
  postgres: { family: 'postgres', scheme: 'postgres', port: 5432, needsDatabase: true },
  redis: { family: 'redis', scheme: 'redis', port: 6379, needsDatabase: false },
  rabbitmq: { family: 'rabbitmq', scheme: 'amqp', port: 5672, needsDatabase: false },
  opensearch: { family: 'search', scheme: 'http', port: 9200, needsDatabase: false },
  elasticsearch: { family: 'search', scheme: 'http', port: 9200, needsDatabase: false },
  mongodb: { family: 'mongodb', scheme: 'mongodb', port: 27017, needsDatabase: true },
}

export function engineOf(type: ServiceType): Engine {
  return engines[type]
}

/** Whether two types may be the same server. */
export function mayBeSame(a: ServiceType | 'sql', b: ServiceType | 'sql'): boolean {
  const families = [a, b].map((type) => (type === 'sql' ? 'sql' : engines[type].family))
  const isSql = families.every((family) => ['sql', 'mysql', 'postgres'].includes(family))
  return families[0] === families[1] || (isSql && families.includes('sql'))
}

const words: readonly (readonly [RegExp, ServiceType])[] = [
  [/mariadb/, 'mariadb'],
  [/mysql|percona|^trilogy$/, 'mysql'],
  [/postgres|postgis|pgsql|timescale|pgvector|^psql$/, 'postgres'],
  [/redis|valkey|keydb/, 'redis'],
  [/rabbitmq|^amqps?$/, 'rabbitmq'],
  [/opensearch/, 'opensearch'],
  [/elasticsearch/, 'elasticsearch'],
  [/mongo/, 'mongodb'],
]

/** Programs around a server, whose images carry its name. */
const around = /exporter|backup|admin|commander|insight|express|operator|client|proxy|router|postgrest|dashboard|test/

/** The type by an image, a driver, an adapter or a platform's type: `docker.io/library/mariadb:10.11`, `mysql2`, `pdo_pgsql`, `postgresql:15`. */
export function typeByName(text: string): ServiceType | undefined {
  const last = withoutTag(text).split('/').at(-1)!.toLowerCase()
  if (around.test(last)) return undefined
  return words.find(([word]) => word.test(last))?.[1]
}

/** `registry.example.com:5000/library/mariadb:10.11@sha256:…` → `mariadb:10.11`: an image as people call it. */
export function shortImage(text: string): string {
  return text.split('@')[0]!.split('/').at(-1)!.slice(0, 60)
}

function withoutTag(image: string): string {
  return image.split('@')[0]!.replace(/:[^/:]*$/, '')
}

/** The type by the scheme of a url: `postgresql`, `pdo-mysql`, `mysql2`, `mongodb+srv`, `rediss`. */
export function typeByScheme(scheme: string): ServiceType | undefined {
  if (/^(https?|doctrine|sqs|sqlite3?|file|smtps?)$/.test(scheme)) return undefined
  return typeByName(scheme)
}
