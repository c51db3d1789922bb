import { printable } from '../../domain/format-text.ts'
import type { Detected } from '../service-driver.ts'
import { engineOf } from './engines.ts'
import type { FoundService, ServiceType, Value } from './found.ts'
import type { MergedService } from './merge.ts'

/** A service as a configuration would have it; without `detected`, what is known is not enough, and `lacks` says why. */
export type Proposal = {
  readonly type: FoundService['type']
  readonly name: string
  readonly source: string
  readonly detected?: Detected
  readonly lacks?: string
}

const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/
const hostName = /^[A-Za-z0-9._-]+$|^[0-9A-Fa-f:.]+$/

/**
 * Names each service, and writes its url. Passwords are never in it: they are under a variable's name, the one that the project uses already or
 * one made of the service's name, with what they are in `secrets`. `isTaken`: a variable that stands for something else.
 */
export function propose(services: readonly MergedService[], isTaken: (variable: string) => boolean): Proposal[] {
  const names = new Set<string>()
  const secrets = new Map<string, string | undefined>()
  const own = services.flatMap(({ password, user }) => [password?.variable, user?.variable])
  const variables = new Set(own.filter((name) => name !== undefined))
  return services.map((service) => {
    const name = free(service.name, '-', (taken) => names.has(taken))
    names.add(name)
    const { type, source } = service
    const writer = new UrlWriter(name, secrets, (variable) => variables.has(variable) || isTaken(variable))
    const url = writer.write(service)
    if (typeof url !== 'string') return { type, name, source: printable(source), lacks: url.lacks }
    const indices = indicesOf(service)
    if (indices?.length === 0) {
      return { type, name, source: printable(source), lacks: "nothing says which of its indices are the project's" }
    }
    const config = { url, ...(service.run ? { run: [...service.run] } : {}), ...(indices ? { indices } : {}) }
    const detected: Detected = {
      name,
      config,
      reason: printable(service.reason),
      ...(writer.secrets.size > 0 ? { secrets: Object.fromEntries(writer.secrets) } : {}),
    }
    return { type, name, source: printable(source), detected }
  })
}

/** A search engine is shared: without names of indices there is nothing to propose. undefined for what has no indices. */
function indicesOf({ type, indexPrefix }: MergedService): readonly string[] | undefined {
  if (type !== 'opensearch' && type !== 'elasticsearch') return undefined
  const prefix = indexPrefix?.value
  return prefix !== undefined && /^[a-z0-9][a-z0-9_-]*$/.test(prefix) ? [`${prefix}*`] : []
}

function free(name: string, separator: string, isTaken: (name: string) => boolean): string {
  let free = name
  for (let n = 2; isTaken(free); n++) free = `${name}${separator}${n}`
  return free
}

class UrlWriter {
  readonly secrets = new Map<string, string>()
  readonly #name: string
  /** Of all services: a variable with two values would be wrong for one of them. */
  readonly #given: Map<string, string | undefined>
  readonly #isTaken: (variable: string) => boolean

  constructor(name: string, given: Map<string, string | undefined>, isTaken: (variable: string) => boolean) {
    this.#name = name
    this.#given = given
    this.#isTaken = isTaken
  }

  write(service: MergedService): string | { readonly lacks: string } {
    const { type, urlVariable, socketPath, run } = service
    if (type === 'sql') return { lacks: 'nothing says which engine it is' }
    if (urlVariable !== undefined) return `\${${urlVariable}}`
    const { scheme, port, needsDatabase } = engineOf(type)
    const database = this.#plain(service.database)
    if (database === undefined && needsDatabase) {
      return { lacks: service.database?.value ? 'the name of its database fits no url' : 'nothing names its database' }
    }
    const host = hostOf(service)
    if (host === undefined) return { lacks: 'nothing says where it listens' }
    const login = this.#login(service)
    const secure = service.encryption?.secure === true
    // With encryption another port goes without saying.
    const isUsual = service.port === undefined || (service.port === port && !secure)
    const place = `${host}${isUsual ? '' : `:${service.port}`}`
    const query = queryOf(service)
    const url = `${scheme}${secure ? 's' : ''}://${login}${login === '' && socketPath !== undefined && !run ? '' : place}/${database ?? ''}${query}`
    return URL.canParse(url) ? url : { lacks: 'what is said of it fits no url' }
  }

  #login({ user, password, type }: MergedService): string {
    const name = this.#plain(user) ?? this.#secret(user, 'USER') ?? ''
    const word = password?.value === '' ? undefined : this.#secret(password, 'PASSWORD')
    if (name === '' && (word === undefined || !mayLackUser(type))) return ''
    return `${name}${word === undefined ? '' : `:${word}`}@`
  }

  /** Escaped for a url; a variable where nobody knows what it stands for. undefined when it cannot be written. */
  #plain(value: Value | undefined): string | undefined {
    const text = value?.value
    if (text === undefined) return referTo(value?.variable)
    // The configuration would fill these in.
    if (text === '' || /\$\{|\{env\}/.test(text) || !text.isWellFormed()) return undefined
    return encodeURIComponent(text)
  }

  /** The variable that holds it; one that is to be set where only the application knows what it is. */
  #secret(value: Value | undefined, what: string): string | undefined {
    if (value === undefined) return undefined
    const { value: secret, variable } = value
    const isOwn = variable !== undefined && variableName.test(variable) && this.#fits(variable, secret)
    const stem = `${this.#name.toUpperCase().replaceAll('-', '_')}_${what}`
    const name = isOwn ? variable : free(stem, '_', (other) => this.#isTaken(other) || this.#given.has(other))
    this.#given.set(name, secret ?? this.#given.get(name))
    if (secret !== undefined) this.secrets.set(name, secret)
    return `\${${name}}`
  }

  #fits(variable: string, secret: string | undefined): boolean {
    const given = this.#given.get(variable)
    return secret === undefined || given === undefined || given === secret
  }
}

function queryOf({ socketPath, run, encryption, user, authSource }: MergedService): string {
  const parameters: string[] = []
  if (socketPath !== undefined && !run) {
    parameters.push(`socketPath=${encodeURIComponent(socketPath).replaceAll('%2F', '/')}`)
  }
  for (const [name, value] of Object.entries(encryption?.parameters ?? {})) {
    if (!/\$\{|\{env\}/.test(value)) parameters.push(`${name}=${encodeURIComponent(value).replaceAll('%2F', '/')}`)
  }
  if (user && authSource !== undefined && /^[\w$-]+$/.test(authSource)) parameters.push(`authSource=${authSource}`)
  return parameters.length === 0 ? '' : `?${parameters.join('&')}`
}

/** Redis has passwords without users. */
function mayLackUser(type: ServiceType | 'sql'): boolean {
  return type === 'redis'
}

function referTo(variable: string | undefined): string | undefined {
  return variable !== undefined && variableName.test(variable) ? `\${${variable}}` : undefined
}

function hostOf({ host, socketPath, run }: MergedService): string | undefined {
  if (socketPath !== undefined && !run) return 'localhost'
  if (host?.value === undefined) return referTo(host?.variable)
  if (!hostName.test(host.value)) return undefined
  return host.value.includes(':') ? `[${host.value}]` : host.value
}
