import { engineOf, typeByName } from './engines.ts'
import { type FoundService, literal, type ReadSource, type ServiceType, serviceName, type Texts } from './found.ts'
import { readYaml, withinBounds, type YamlNode } from './yaml.ts'

/** Platform.sh and Upsun. */
export const readPlatform: ReadSource = (texts) => [
  ...readCloud(texts, {
    apps: ['.platform.app.yaml', '.platform/applications.yaml'],
    services: '.platform/services.yaml',
  }),
  ...readUpsun(texts),
]

/** Services, and the relationships by which an application reaches them; see each file's own name for whose they are. */
export function readCloud(
  texts: Texts,
  files: { readonly apps: readonly string[]; readonly services: string },
): readonly FoundService[] {
  return withinBounds(texts, files.services, () => {
    const services = readYaml(texts, files.services)
    const apps = files.apps.flatMap((file) => {
      const node = readYaml(texts, file)
      if (!node) return []
      if (node.at('relationships')) return [node]
      return [...node.items(), ...node.entries().map(([, app]) => app)]
    })
    return services ? readServices(services, apps) : []
  })
}

function readUpsun(texts: Texts): readonly FoundService[] {
  return texts
    .list('.upsun')
    .filter((name) => /\.ya?ml$/.test(name))
    .flatMap((name) =>
      withinBounds(texts, `.upsun/${name}`, () => {
        const node = readYaml(texts, `.upsun/${name}`)
        const services = node?.at('services')
        const apps = (node?.at('applications')?.entries() ?? []).map(([, app]) => app)
        return services ? readServices(services, apps) : []
      }),
    )
}

function readServices(services: YamlNode, apps: readonly YamlNode[]): FoundService[] {
  const links = apps.flatMap((app) => (app.at('relationships')?.entries() ?? []).map(([name, to]) => linkOf(name, to)))
  return services.entries().flatMap(([name, node]) => {
    const kind = node.at('type')?.text
    const type = kind === undefined ? undefined : cloudType(kind)
    if (kind === undefined || type === undefined) return []
    const own = links.filter((link) => link.service === name)
    const distinct = own.filter((link, i) => own.findIndex((other) => other.endpoint === link.endpoint) === i)
    return (distinct.length > 0 ? distinct : [undefined]).map((link) => ({
      type,
      name: serviceName(name, type),
      role: 'server' as const,
      elsewhere: true,
      ...(link ? access(type, node, link) : {}),
      source: node.source,
      reason: `${node.source} has ${kind.slice(0, 40)}; the url is right on that platform, elsewhere give another`,
    }))
  })
}

/** What is called mysql there is MariaDB. */
function cloudType(kind: string): ServiceType | undefined {
  const name = kind.split(':')[0]!
  if (name === 'oracle-mysql') return 'mysql'
  const type = typeByName(name)
  return type === 'mysql' ? 'mariadb' : type
}

type Link = { readonly name: string; readonly service: string; readonly endpoint: string | undefined }

/** `database: "db:mysql"`, `database: { service: db, endpoint: mysql }`, or `db:`. */
function linkOf(name: string, to: YamlNode): Link {
  const [service, endpoint] = to.text?.split(':') ?? [to.at('service')?.text ?? name, to.at('endpoint')?.text]
  return { name, service: service!, endpoint }
}

/**
 * The host is the relationship's name; user and database are the platform's defaults, unless the service has endpoints of its own, of which only
 * the database is known. PostgreSQL always has a password, which only the platform's environment tells.
 */
function access(
  type: ServiceType,
  node: YamlNode,
  link: Link,
): Pick<FoundService, 'aliases' | 'host' | 'port' | 'user' | 'password' | 'database'> {
  const host = `${link.name}.internal`
  const place = { aliases: [host], host: { value: host }, port: engineOf(type).port }
  if (!engineOf(type).needsDatabase || type === 'mongodb') return place
  const endpoints = node.at('configuration', 'endpoints')?.entries() ?? []
  const endpoint = endpoints.find(([name]) => name === link.endpoint)?.[1]
  if (!endpoint) {
    const isPostgres = type === 'postgres'
    const password = isPostgres ? { variable: `${variableOf(link.name)}_PASSWORD` } : undefined
    return { ...place, user: literal(isPostgres ? 'main' : 'user'), password, database: literal('main') }
  }
  const prefix = variableOf(link.name)
  return {
    ...place,
    user: { variable: `${prefix}_USERNAME` },
    password: { variable: `${prefix}_PASSWORD` },
    database: literal(endpoint.at('default_schema')?.text ?? endpoint.at('default_database')?.text),
  }
}

/** The names of the variables that the platform makes of a relationship. */
function variableOf(link: string): string {
  return link
    .toUpperCase()
    .replace(/[^A-Z0-9]/g, '_')
    .replace(/^(?=\d)/, '_')
}
