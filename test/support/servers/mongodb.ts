import { hash } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { compiledEnvironment } from '../compiled.ts'
import { temporaryDirectory } from '../temporary.ts'
import { encode, fieldsOf, type Value } from './mongodb/bson.ts'
import { Data, type Json } from './mongodb/data.ts'

/**
 * Stands for a MongoDB server and its tools, none of which can be installed here: programs by their names, with the command lines, texts and exit statuses
 * that are published, around data in a file. They refuse all they do not know.
 */
export class MongoServer {
  readonly data: Data
  /** The file that stands for its socket. */
  readonly socketPath: string
  /** What makes its tools be found, and no others of these names. */
  readonly run: readonly string[]

  private constructor(folder: string) {
    this.socketPath = path.join(folder, 'mongodb-27017.sock')
    this.data = new Data(this.socketPath)
    const bin = path.join(folder, 'bin')
    mkdirSync(bin)
    for (const tool of ['mongosh', 'mongodump', 'mongorestore']) {
      const file = fileURLToPath(new URL(`./mongodb/${tool}.ts`, import.meta.url))
      const cache = compiledEnvironment.NODE_COMPILE_CACHE
      const words = [
        `NODE_COMPILE_CACHE='${cache}'`,
        'exec',
        `'${process.execPath}'`,
        '--no-warnings',
        `'${file}'`,
        '"$@"',
      ]
      const [variable, ...rest] = words
      writeFileSync(path.join(bin, tool), `#!/bin/sh\nexport ${variable}\n${rest.join(' ')}\n`)
      chmodSync(path.join(bin, tool), 0o755)
    }
    this.run = ['env', `PATH=${bin}:/usr/bin:/bin`]
  }

  static async start(): Promise<MongoServer> {
    return new MongoServer(await temporaryDirectory('git-env-mongodb-'))
  }

  /** All words that its tools were started with. */
  words(): string {
    return readFileSync(`${this.socketPath}.words`, 'utf8')
  }

  url(database: string, login = ''): string {
    return `mongodb://${login}localhost/${database}?socketPath=${encodeURIComponent(this.socketPath)}`
  }

  insert(database: string, name: string, ...documents: { readonly [key: string]: Value }[]): void {
    this.data.atOnce(() => {
      for (const document of documents) this.data.insert(database, name, encode(document), { bypass: true })
    })
  }

  /** In its place. */
  replace(database: string, name: string, document: { readonly [key: string]: Value }): void {
    const bson = encode(document)
    this.data.replace(this.data.collection(database, name)!.uuid, fieldsOf(bson).get('_id')!, bson)
  }

  remove(database: string, name: string, id: Value): void {
    this.data.remove(this.data.collection(database, name)!.uuid, fieldsOf(encode({ _id: id })).get('_id')!)
  }

  /** All that is in a database and not git-env's, as text. */
  contentOf(database: string): string {
    return stable(
      this.data
        .collections(database)
        .filter(({ name }) => !name.startsWith('git_env_'))
        .map(({ name, type, options, uuid }) => ({
          name,
          type,
          options,
          indexes: this.data.indexes(uuid).sort((a, b) => (String(a['name']) < String(b['name']) ? -1 : 1)),
          documents: digest(this.data.documents(uuid).map(({ bson }) => bson)),
        })),
    )
  }
}

type Content = Json & { readonly name: string; readonly documents: string }

export function stable(content: readonly Content[]): string {
  return JSON.stringify(
    content.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    null,
    1,
  )
}

export function digest(documents: readonly Uint8Array[]): string {
  return hash('sha256', Buffer.concat(documents))
}
