import { engineOf, typeByName } from './engines.ts'
import {
  type FoundService,
  literal,
  portOf,
  type ReadSource,
  type ServiceType,
  serviceName,
  type Texts,
} from './found.ts'
import { readYaml, withinBounds, type YamlNode } from './yaml.ts'

const file = '.lando.yml'
/** Laid over it. */
const own = '.lando.local.yml'

/** What a recipe runs when the file does not say: its database's type. Host, user, password and database are named after the recipe. */
const recipes: Readonly<Record<string, ServiceType>> = {
  acquia: 'mysql',
  backdrop: 'mysql',
  drupal: 'mysql',
  joomla: 'mysql',
  lamp: 'mysql',
  laravel: 'mysql',
  lemp: 'mysql',
  pantheon: 'mariadb',
  symfony: 'mysql',
  wordpress: 'mysql',
}

/** Lando: services with a `type`, and the `database` that a recipe brings. */
export const readLando: ReadSource = (texts) =>
  withinBounds(texts, file, () => {
    const main = readYaml(texts, file)
    if (!main) return []
    const parts = [readYaml(texts, own), main].filter((part) => part !== undefined)
    const get = (...keys: readonly string[]) => parts.map((part) => part.at(...keys)).find((node) => node !== undefined)
    const names = new Set(parts.flatMap((part) => (part.at('services')?.entries() ?? []).map(([name]) => name)))
    const recipe = get('recipe')?.text
    const isRecipe = recipe !== undefined && recipes[recipe.replace(/\d+$/, '')] !== undefined
    if (isRecipe) names.add('database')
    const project = (get('name')?.text ?? texts.name).toLowerCase().replace(/[^a-z0-9]/g, '')
    return [...names]
      .filter((name) => /^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(name))
      .flatMap((name) => {
        const setting = (...keys: readonly string[]) => get('services', name, ...keys)
        const byRecipe = name === 'database' && isRecipe ? recipe : undefined
        const node = setting() ?? get('recipe')!
        return readService(name, node, setting, { project, recipe: byRecipe, said: get('config', 'database')?.text })
      })
  })

function readService(
  name: string,
  node: YamlNode,
  setting: (...keys: readonly string[]) => YamlNode | undefined,
  { project, recipe, said }: { project: Texts['name']; recipe: string | undefined; said: string | undefined },
): FoundService[] {
  const kind =
    setting('type')?.text ?? (recipe === undefined ? undefined : (said ?? recipes[recipe.replace(/\d+$/, '')]))
  const type = kind === undefined ? undefined : typeByName(kind)
  if (kind === undefined || type === undefined) return []
  const creds = (key: string, otherwise: string) => setting('creds', key)?.text ?? recipe ?? otherwise
  const published = portOf(setting('portforward')?.text)
  const hasLogin = type === 'mariadb' || type === 'mysql' || type === 'postgres'
  return [
    {
      type,
      name: serviceName(name, 'db'),
      role: 'server',
      aliases: [name],
      host: { value: '127.0.0.1' },
      port: published ?? engineOf(type).port,
      ...(hasLogin
        ? {
            user: literal(creds('user', type)),
            password:
              type === 'postgres' && recipe === undefined
                ? literal(setting('creds', 'password')?.text)
                : literal(creds('password', type)),
            database: literal(creds('database', 'database')),
          }
        : {}),
      run: published === undefined ? ['docker', 'exec', '-i', `${project}_${name}_1`] : undefined,
      source: node.source,
      reason: `${node.source} runs ${kind.slice(0, 40)}`,
    },
  ]
}
