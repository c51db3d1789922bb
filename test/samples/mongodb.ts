import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { DriverSample, LiveSample } from '../contract/service-driver.ts'
import { startMongoWriter } from '../support/mongodb-writer.ts'
import { changeMongo, database, fillMongo } from '../support/odd-mongodb.ts'
import { fieldsOf, int32In } from '../support/servers/mongodb/bson.ts'
import { digest, MongoServer, stable } from '../support/servers/mongodb.ts'
import { temporaryDirectory } from '../support/temporary.ts'

export const sample: DriverSample = { type: 'mongodb', level: 'live', create: createMongoSample }

export async function createMongoSample(): Promise<LiveSample & { readonly server: MongoServer }> {
  const server = await MongoServer.start()
  const { data } = server
  fillMongo(server)
  const theirs = 'git_env_01j99999999999999999999999_old_0'
  return {
    server,
    config: { url: server.url('shop_{env}'), run: server.run },
    projectDirectory: await temporaryDirectory(),
    context: { allowed: true },
    change: async (seed) => changeMongo(server, seed),
    fingerprint: async () => server.contentOf(database),
    strangers: async () => {
      const other = data.collection(database, theirs)!
      return `${server.contentOf('others')}${digest(data.documents(other.uuid).map(({ bson }) => bson))}`
    },
    leftOver: async (id) => data.collections().flatMap(({ name }) => (name.includes(id) ? [name] : [])),
    remove: async () => {
      for (const { name } of data.collections(database)) if (name !== theirs) data.drop(database, name)
    },
    ruins: {},
    startWriter: () => startMongoWriter(server.socketPath),
    written: async () => {
      const found = data.collection(database, 'written')
      const numbers = found ? data.documents(found.uuid).map(({ bson }) => int32In(fieldsOf(bson).get('_id'))) : []
      return numbers.sort((a, b) => a - b)
    },
    fingerprintExport,
  }
}

async function fingerprintExport(directory: string, paths: readonly string[]): Promise<string> {
  const { collections } = JSON.parse(await readFile(path.join(directory, 'definitions.json'), 'utf8'))
  const filled = []
  for (const { name, type } of collections) {
    const file = path.join('dump', encodeURIComponent(name))
    const metadata = JSON.parse(await readFile(path.join(directory, `${file}.metadata.json`), 'utf8'))
    const bson = paths.includes(`${file}.bson`) ? await readFile(path.join(directory, `${file}.bson`)) : Buffer.alloc(0)
    const indexes = metadata.indexes.filter((each: { name: string }) => each.name !== '_id_')
    filled.push({ name, type, options: metadata.options, indexes, documents: digest([bson]) })
  }
  return stable(filled)
}
