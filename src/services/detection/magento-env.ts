import { type FoundService, portOf, type ReadSource, serviceName } from './found.ts'
import { entryAt, PhpReader, type PhpValue, valueAt } from './php.ts'
import { readHost } from './server-url.ts'

const file = 'app/etc/env.php'

/** Magento: the array that `app/etc/env.php` returns. */
export const readMagentoEnv: ReadSource = (texts) => {
  const text = texts.read(file)
  if (text === undefined) return []
  const reader = new PhpReader(text, (name) => texts.variable(name))
  while (!reader.ended) {
    if (!reader.accept('return')) {
      reader.take()
      continue
    }
    const config = reader.value()
    return [...databases(config), ...redis(config), ...queue(config), ...search(config)]
  }
  return []
}

function databases(config: PhpValue): FoundService[] {
  const connections = entryAt(config, 'db', 'connection')
  if (connections?.kind !== 'array') return []
  return [...connections.entries].flatMap(([key, connection]) => {
    const database = valueAt(connection, 'dbname')
    const source = `${file}:${connection.line}`
    if (connection.kind !== 'array' || !database) return []
    return [
      {
        type: 'mysql' as const,
        name: key === 'default' ? 'db' : serviceName(key, 'db'),
        role: 'application' as const,
        ...address(connection, 'host'),
        ...(valueAt(connection, 'unix_socket')?.value ? { socketPath: valueAt(connection, 'unix_socket')?.value } : {}),
        user: valueAt(connection, 'username'),
        password: valueAt(connection, 'password'),
        database,
        source,
        reason: `${source} names it (Magento)`,
      },
    ]
  })
}

function address(settings: PhpValue, key: string): Pick<FoundService, 'host' | 'port' | 'socketPath'> {
  const port = portOf(valueAt(settings, 'port')?.value)
  return { ...(port === undefined ? {} : { port }), ...readHost(valueAt(settings, key) ?? { value: 'localhost' }) }
}

function redis(config: PhpValue): FoundService[] {
  const places: readonly (readonly [string, string, readonly string[]])[] = [
    ['cache', 'server', ['cache', 'frontend', 'default', 'backend_options']],
    ['page-cache', 'server', ['cache', 'frontend', 'page_cache', 'backend_options']],
    ['session', 'host', ['session', 'redis']],
  ]
  return places.flatMap(([name, key, path]) => {
    const settings = entryAt(config, ...path)
    if (!settings || !valueAt(settings, key)) return []
    return [
      other('redis', name, settings, {
        ...address(settings, key),
        password: valueAt(settings, 'password'),
        database: valueAt(settings, 'database') ?? { value: '0' },
      }),
    ]
  })
}

function queue(config: PhpValue): FoundService[] {
  const settings = entryAt(config, 'queue', 'amqp')
  if (!settings || !valueAt(settings, 'host')) return []
  return [
    other('rabbitmq', 'queue', settings, {
      ...address(settings, 'host'),
      user: valueAt(settings, 'user'),
      password: valueAt(settings, 'password'),
      database: valueAt(settings, 'virtualhost'),
    }),
  ]
}

function search(config: PhpValue): FoundService[] {
  const settings = entryAt(config, 'system', 'default', 'catalog', 'search')
  return (['opensearch', 'elasticsearch'] as const).flatMap((type) => {
    const prefix = type === 'opensearch' ? 'opensearch' : 'elasticsearch7'
    const host = valueAt(settings, `${prefix}_server_hostname`)
    if (!settings || !host) return []
    const port = portOf(valueAt(settings, `${prefix}_server_port`)?.value)
    return [other(type, 'search', settings, { host, port, indexPrefix: valueAt(settings, `${prefix}_index_prefix`) })]
  })
}

function other(
  type: FoundService['type'],
  name: string,
  settings: PhpValue,
  more: Partial<FoundService>,
): FoundService {
  const source = `${file}:${settings.line}`
  return { type, name, role: 'application', ...more, source, reason: `${source} names it (Magento)` }
}
