import type { Encryption } from './encryption.ts'

/**
 * What a file says of a text: the text itself, the environment variable that it is taken from, or both. Neither: it is there, and nobody can tell
 * without running the application.
 */
export type Value = { readonly value?: string | undefined; readonly variable?: string | undefined }

export type ServiceType =
  | 'mariadb'
  | 'mysql'
  | 'postgres'
  | 'redis'
  | 'rabbitmq'
  | 'opensearch'
  | 'elasticsearch'
  | 'mongodb'

/** What one file says of one service. Holds secrets: only `name`, `source` and `reason` may be shown. */
export type FoundService = {
  /** `sql`: a database whose engine the file does not name. */
  readonly type: ServiceType | 'sql'
  readonly name: string
  /** What runs it (an image, a platform's service), or what uses it (an application's own configuration). */
  readonly role: 'server' | 'application'
  /** Host names by which what runs beside it reaches it. */
  readonly aliases?: readonly string[]
  readonly host?: Value | undefined
  readonly port?: number | undefined
  readonly socketPath?: string | undefined
  readonly user?: Value | undefined
  readonly password?: Value | undefined
  readonly database?: Value | undefined
  /** How the names of a search engine's indices begin. */
  readonly indexPrefix?: Value | undefined
  readonly encryption?: Encryption | undefined
  /** The database in which MongoDB knows the user, where that is not the one that the url names. */
  readonly authSource?: string | undefined
  /** A variable that holds the whole url, which is not known. */
  readonly urlVariable?: string | undefined
  /** The command prefix that leads to where it listens. */
  readonly run?: readonly string[] | undefined
  /** It is somewhere else than the project's own machine or containers: on a cloud platform. */
  readonly elsewhere?: boolean
  /** `file:line`. */
  readonly source: string
  /** One clause for people, that begins with the source. Never a secret. */
  readonly reason: string
}

/** A file of the project, and what a reader of it may want beside. */
export interface Texts {
  /** The text of a file below the project; undefined when it is not there or must not be looked into. */
  read(file: string): string | undefined
  /** Names in a folder, ordered; none when there is no folder. */
  list(folder: string): readonly string[]
  /** What `${NAME}` stands for in the project's files: from its `.env`, else from this process's environment. */
  variable(name: string): string | undefined
  /** Says that something was passed over. Never a secret. */
  note(text: string): void
  /** The name of the project's folder. */
  readonly name: string
}

/** One kind of file: gives what they say. Pure over the texts. */
export type ReadSource = (texts: Texts) => readonly FoundService[]

export function literal(value: string | undefined): Value | undefined {
  return value === undefined ? undefined : { value }
}

/** `Shop DB` → `shop-db`: a name that a configuration takes, else `otherwise`. */
export function serviceName(text: string, otherwise: string): string {
  const name = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+|-+$/g, '')
    .slice(0, 36)
    .replace(/-+$/, '')
  return name || otherwise
}

export function portOf(text: string | undefined): number | undefined {
  const port = /^\d{1,5}$/.test(text ?? '') ? Number(text) : 0
  return port >= 1 && port <= 65535 ? port : undefined
}
