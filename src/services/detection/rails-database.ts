import { readEncryption } from './encryption.ts'
import { typeByName } from './engines.ts'
import { type FoundService, portOf, type ReadSource, serviceName, type Texts, type Value } from './found.ts'
import { readServerUrl } from './server-url.ts'
import { fill, markOf, type Template } from './templates.ts'
import { readYaml, withinBounds, type YamlNode } from './yaml.ts'

const file = 'config/database.yml'
/** Where libpq, as Linux distributions and Homebrew build it, looks for the server when no host is given. */
const postgresSocket = process.platform === 'darwin' ? '/tmp' : '/var/run/postgresql'

/** Rails: the databases of the environment that is developed in. */
export const readRailsDatabase: ReadSource = (texts) => {
  const text = texts.read(file)
  if (text === undefined) return []
  const { text: marked, values } = withoutErb(text, texts)
  return withinBounds(texts, file, () => {
    const all = readYaml(texts, file, marked)
    const environments = [texts.variable('RAILS_ENV'), 'development', 'production']
    const environment = environments.map((name) => (name ? all?.at(name) : undefined)).find((found) => found?.isMap)
    if (!environment) return []
    const several = environment.entries().filter(([, node]) => node.isMap)
    const databases: [string, YamlNode][] = several.length > 0 ? several : [['primary', environment]]
    return databases.flatMap(([key, node]) => readDatabase(key, node, values))
  })
}

function readDatabase(key: string, node: YamlNode, values: readonly Value[]): FoundService[] {
  const get = (name: string): Value | undefined => {
    const text = node.at(name)?.text
    return text === undefined || text === '' ? undefined : fill(text, values)
  }
  const { source } = node
  const common = {
    name: key === 'primary' ? 'db' : serviceName(key, 'db'),
    role: 'application' as const,
    source,
    reason: `${source} names it (Rails)`,
  }
  const adapter = get('adapter')?.value
  const type = adapter === undefined ? undefined : typeByName(adapter)
  const url = get('url')
  if (url) {
    const read = url.value === undefined ? undefined : readServerUrl({ text: url.value, values: [] })
    if (read) return [{ ...common, ...read }]
    if (type && url.variable !== undefined && url.value === undefined) {
      return [{ ...common, type, urlVariable: url.variable }]
    }
  }
  const database = get('database')
  if (!type || !database || node.at('replica')?.text === 'true') return []
  const host = get('host')
  const socketPath = get('socket')?.value ?? (type === 'postgres' && !host ? postgresSocket : undefined)
  return [
    {
      ...common,
      type,
      host: host ?? { value: 'localhost' },
      port: portOf(get('port')?.value),
      socketPath: host?.value?.startsWith('/') ? host.value : socketPath,
      // As libpq has it: whoever runs it.
      user: get('username') ?? (type === 'postgres' ? { variable: 'USER' } : undefined),
      password: get('password'),
      database,
      encryption: readEncryption(type, '', (name) => get(name)?.value),
    },
  ]
}

/** What ERB writes stands as a mark, and keeps its line; what it only runs is left out. */
function withoutErb(text: string, texts: Texts): Template {
  const values: Value[] = []
  let marked = ''
  let at = 0
  for (;;) {
    const open = text.indexOf('<%', at)
    const close = open < 0 ? -1 : text.indexOf('%>', open)
    if (close < 0) return { text: marked + text.slice(at), values }
    const code = text.slice(open + 2, close)
    marked += text.slice(at, open)
    marked += code.startsWith('=')
      ? markOf(values.push(evaluate(code.slice(1).replace(/-$/, '').trim(), texts)) - 1)
      : '\n'.repeat(code.split('\n').length - 1)
    at = close + 2
  }
}

/** `ENV["X"]`, `ENV.fetch("X", "y")`, `ENV.fetch("X") { "y" }`, `ENV["X"] || "y"`, and a plain string or number. */
function evaluate(code: string, texts: Texts): Value {
  const string = `"[^"#\\\\]*"|'[^'\\\\]*'|\\d+`
  const bare = (quoted: string | undefined) => quoted?.replace(/^["']|["']$/g, '')
  const plain = new RegExp(`^(${string})$`).exec(code)
  if (plain) return { value: bare(plain[1]) }
  const name = `["']([A-Za-z_]\\w*)["']`
  const forms = [
    new RegExp(`^ENV\\[\\s*${name}\\s*\\](?:\\s*\\|\\|\\s*(${string}))?$`),
    new RegExp(`^ENV\\.fetch\\(?\\s*${name}\\s*(?:,\\s*(${string}))?\\s*\\)?$`),
    new RegExp(`^ENV\\.fetch\\(?\\s*${name}\\s*\\)?\\s*\\{\\s*(${string})\\s*\\}$`),
  ]
  for (const form of forms) {
    const found = form.exec(code)
    if (found) return { variable: found[1], value: texts.variable(found[1]!) ?? bare(found[2]) }
  }
  return {}
}
