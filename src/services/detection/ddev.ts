import { typeByName } from './engines.ts'
import { literal, portOf, type ReadSource } from './found.ts'
import { readYaml, withinBounds } from './yaml.ts'

const file = '.ddev/config.yaml'
/** Laid over it. */
const own = '.ddev/config.local.yaml'

/** DDEV: one database server a project, `db` for host, user, password and database alike. */
export const readDdev: ReadSource = (texts) =>
  withinBounds(texts, file, () => {
    const parts = [own, file].flatMap((name) => readYaml(texts, name) ?? [])
    const main = parts.at(-1)
    if (!main || texts.read(file) === undefined) return []
    const get = (...keys: readonly string[]) => parts.map((part) => part.at(...keys)).find((node) => node !== undefined)
    if (
      parts.some((part) =>
        part
          .at('omit_containers')
          ?.items()
          .some((item) => item.text === 'db'),
      )
    )
      return []
    const kind = get('database', 'type')?.text ?? (get('mysql_version')?.text ? 'mysql' : 'mariadb')
    const type = typeByName(kind)
    const project = get('name')?.text ?? texts.name
    if (type === undefined || !/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(project)) return []
    const version = get('database', 'version')?.text
    const published = portOf(get('host_db_port')?.text)
    const container = `ddev-${project}-db`
    const source = (get('database') ?? main).source
    return [
      {
        type,
        name: 'db',
        role: 'server',
        aliases: ['db', container],
        host: { value: '127.0.0.1' },
        port: published ?? (type === 'postgres' ? 5432 : 3306),
        user: literal('db'),
        password: literal('db'),
        database: literal('db'),
        run: published === undefined ? ['docker', 'exec', '-i', container] : undefined,
        source,
        reason: `${source} runs ${version === undefined ? type : `${type}:${version}`}`,
      },
    ]
  })
