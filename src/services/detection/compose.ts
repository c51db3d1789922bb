import { readEnvFile } from './dotenv.ts'
import { engineOf, shortImage, typeByName } from './engines.ts'
import {
  type FoundService,
  literal,
  portOf,
  type ReadSource,
  type ServiceType,
  serviceName,
  type Texts,
  type Value,
} from './found.ts'
import { readVariables } from './from-variables.ts'
import { interpolate, type Template, templateOf } from './templates.ts'
import { readYaml, withinBounds, type YamlNode } from './yaml.ts'

/** In the order in which `docker compose` prefers them; each with what is laid over it. */
const files = ['compose.yaml', 'compose.yml', 'docker-compose.yml', 'docker-compose.yaml']

/** Docker Compose: what runs in its containers, and what the applications among them are told. */
export const readCompose: ReadSource = (texts) => {
  const main = files.find((file) => texts.read(file) !== undefined)
  if (main === undefined) return []
  const dot = main.lastIndexOf('.')
  const override = [main, main.replace(/ya?ml$/, (ext) => (ext === 'yml' ? 'yaml' : 'yml'))].map(
    (file) => `${file.slice(0, dot)}.override${file.slice(dot)}`,
  )
  return withinBounds(texts, main, () => {
    const documents = [main, override.find((file) => texts.read(file) !== undefined)].flatMap((file) =>
      file === undefined ? [] : (readYaml(texts, file) ?? []),
    )
    const names = new Set(documents.flatMap((each) => (each.at('services')?.entries() ?? []).map(([name]) => name)))
    return [...names].filter(isServiceName).flatMap((name) => {
      const parts = documents.flatMap((document) => document.at('services', name) ?? [])
      return readService(new ComposeService(name, parts, documents, texts))
    })
  })
}

/** A name that `docker compose exec` takes for one, not for an option. */
function isServiceName(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$/.test(name)
}

/** One service, with what an override file lays over it. */
class ComposeService {
  readonly name: string
  readonly #parts: readonly YamlNode[]
  readonly #documents: readonly YamlNode[]
  readonly #texts: Texts
  readonly #variables: ReadonlyMap<
    string,
    { readonly value: Value; readonly template: Template; readonly source: string }
  >

  constructor(name: string, parts: readonly YamlNode[], documents: readonly YamlNode[], texts: Texts) {
    this.name = name
    this.#parts = parts
    this.#documents = documents
    this.#texts = texts
    this.#variables = new Map([...this.#environmentFiles(), ...this.#environment()])
  }

  get source(): string {
    return this.#parts[0]!.source
  }

  text(key: string): string | undefined {
    const node = this.#parts.flatMap((part) => part.at(key) ?? []).at(-1)
    return node?.text === undefined ? undefined : this.#fill(node.text).value
  }

  /** Items of a list, of every part. */
  list(key: string): YamlNode[] {
    return this.#parts.flatMap((part) => part.at(key)?.items() ?? [])
  }

  fillText(node: YamlNode | undefined): string | undefined {
    return node?.text === undefined ? undefined : this.#fill(node.text).value
  }

  /** The first of these variables that is given; `NAME_FILE` names a file with the value. */
  variable(...names: readonly string[]): Value | undefined {
    for (const name of names) {
      const found = this.#variables.get(name)?.value ?? this.#fromFile(this.#variables.get(`${name}_FILE`)?.value.value)
      if (found && found.value !== '') return found
    }
    return undefined
  }

  get aliases(): string[] {
    const names = [this.name, this.text('container_name'), this.text('hostname')]
    for (const part of this.#parts) {
      for (const [, network] of part.at('networks')?.entries() ?? []) {
        names.push(...(network.at('aliases')?.items() ?? []).map((alias) => alias.text))
      }
    }
    return names.filter((name) => name !== undefined)
  }

  /** What an application in it is told of others. */
  told(): FoundService[] {
    return readVariables({
      names: () => this.#variables.keys(),
      get: (name) => this.#variables.get(name)?.value,
      template: (name) => this.#variables.get(name)?.template,
      sourceOf: (name) => this.#variables.get(name)!.source,
    })
  }

  #fill(text: string): Value {
    return interpolate(text, (name) => this.#texts.variable(name), { bare: true })
  }

  *#environment(): Generator<[string, { value: Value; template: Template; source: string }]> {
    for (const part of this.#parts) {
      const environment = part.at('environment')
      for (const [name, node] of environment?.entries() ?? []) yield this.#entry(name, node.text, node.source)
      for (const item of environment?.items() ?? []) {
        const [, name, text] = /^([^=]+)(?:=([\s\S]*))?$/.exec(item.text ?? '') ?? []
        if (name !== undefined) yield this.#entry(name, text, item.source)
      }
    }
  }

  /** A name without a value is passed on from where compose runs. */
  #entry(
    name: string,
    text: string | undefined,
    source: string,
  ): [string, { value: Value; template: Template; source: string }] {
    const lookup = (other: string) => this.#texts.variable(other)
    if (text === undefined) {
      const value = { variable: name, value: lookup(name) }
      return [name, { value, template: { text: value.value ?? '', values: [] }, source }]
    }
    return [name, { value: this.#fill(text), template: templateOf(text, lookup, { bare: true }), source }]
  }

  *#environmentFiles(): Generator<[string, { value: Value; template: Template; source: string }]> {
    for (const part of this.#parts) {
      const node = part.at('env_file')
      const named = [node?.text, ...(node?.items() ?? []).map((item) => item.text ?? item.at('path')?.text)]
      for (const file of named) {
        if (file === undefined) continue
        for (const [name, { value, source }] of readEnvFile(this.#texts, file)) {
          yield [name, { value: { value }, template: { text: value, values: [] }, source }]
        }
      }
    }
  }

  /** `/run/secrets/db_password` → the file that the secret is made of. */
  #fromFile(file: string | undefined): Value | undefined {
    const secret = /^\/run\/secrets\/([^/]+)$/.exec(file ?? '')?.[1]
    if (secret === undefined) return undefined
    const definition = this.#documents.flatMap((document) => document.at('secrets', secret) ?? []).at(-1)
    const variable = definition?.at('environment')?.text
    if (variable !== undefined) return { variable, value: this.#texts.variable(variable) }
    const source = definition?.at('file')?.text
    return source === undefined ? {} : { value: this.#texts.read(source)?.replace(/\n+$/, '') }
  }
}

function readService(service: ComposeService): FoundService[] {
  const type = typeOf(service)
  if (type === undefined) return service.told()
  const image = service.text('image')
  const { port: containerPort } = engineOf(type)
  const published = publishedPort(service, containerPort)
  return [
    {
      type,
      name: serviceName(service.name, type),
      role: 'server',
      aliases: service.aliases,
      host: { value: '127.0.0.1' },
      port: published ?? containerPort,
      ...login(type, service),
      run: published === undefined ? ['docker', 'compose', 'exec', '-T', service.name] : undefined,
      source: service.source,
      reason: `${service.source} runs ${image === undefined ? type : shortImage(image)}`,
    },
  ]
}

const dataFolders: readonly (readonly [RegExp, ServiceType])[] = [
  [/:\/var\/lib\/mysql\b/, 'mysql'],
  [/:\/var\/lib\/postgresql\b/, 'postgres'],
  [/:\/var\/lib\/rabbitmq\b/, 'rabbitmq'],
]

/** By its image; where it is built here, by the folder that its data is in. */
function typeOf(service: ComposeService): ServiceType | undefined {
  const image = service.text('image')
  const named = image === undefined ? undefined : typeByName(image)
  if (named !== undefined || (image !== undefined && service.text('build') === undefined)) return named
  const volumes = service.list('volumes').map((node) => service.fillText(node) ?? `:${node.at('target')?.text ?? ''}`)
  return dataFolders.find(([folder]) => volumes.some((volume) => folder.test(volume)))?.[1]
}

/** The port of this machine that leads to a container's; undefined where there is none, or docker chooses one at each start. */
function publishedPort(service: ComposeService, containerPort: number): number | undefined {
  if (service.text('network_mode') === 'host') return containerPort
  for (const node of service.list('ports')) {
    const text = service.fillText(node)
    const [, address, port, target] =
      text === undefined
        ? [
            '',
            service.fillText(node.at('host_ip')),
            service.fillText(node.at('published')),
            service.fillText(node.at('target')),
          ]
        : (/^(?:(\[[^\]]*\]|[\d.]+):)?(\d+):(\d+)(?:\/tcp)?$/.exec(text) ?? [])
    const isHere = address === undefined || /^(127\.[\d.]+|0\.0\.0\.0|\[::1?\]|::1?)$/.test(address)
    if (isHere && Number(target) === containerPort && portOf(port) !== undefined) return portOf(port)
  }
  return undefined
}

/** What the image makes at its first start, by the variables that official and Bitnami's images read. */
function login(
  type: ServiceType,
  service: ComposeService,
): Pick<FoundService, 'user' | 'password' | 'database' | 'authSource'> {
  if (type === 'mariadb' || type === 'mysql') {
    const user = service.variable('MARIADB_USER', 'MYSQL_USER')
    const database = service.variable('MARIADB_DATABASE', 'MYSQL_DATABASE')
    if (user && user.value !== 'root') {
      return { user, password: service.variable('MARIADB_PASSWORD', 'MYSQL_PASSWORD'), database }
    }
    const password = service.variable('MARIADB_ROOT_PASSWORD', 'MYSQL_ROOT_PASSWORD')
    return { user: literal('root'), password, database }
  }
  if (type === 'postgres') {
    const user = service.variable('POSTGRES_USER', 'POSTGRESQL_USERNAME') ?? literal('postgres')
    const password = service.variable('POSTGRES_PASSWORD', 'POSTGRESQL_PASSWORD')
    return { user, password, database: service.variable('POSTGRES_DB', 'POSTGRESQL_DATABASE') ?? user }
  }
  if (type === 'redis') return { password: service.variable('REDIS_PASSWORD'), database: literal('0') }
  if (type === 'rabbitmq') {
    const user = service.variable('RABBITMQ_DEFAULT_USER', 'RABBITMQ_USERNAME')
    return { user, password: service.variable('RABBITMQ_DEFAULT_PASS', 'RABBITMQ_PASSWORD') }
  }
  if (type === 'mongodb') {
    const user = service.variable('MONGO_INITDB_ROOT_USERNAME')
    const password = service.variable('MONGO_INITDB_ROOT_PASSWORD')
    return { user, password, authSource: 'admin', database: service.variable('MONGO_INITDB_DATABASE') }
  }
  return {}
}
