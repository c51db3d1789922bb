import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { DriverSample, LiveSample } from '../contract/service-driver.ts'
import {
  changeServer,
  contentOf,
  docLines,
  fillServer,
  oddConfig,
  removeAll,
  stable,
  strangersOf,
} from '../support/odd-search.ts'
import { startSearchWriter } from '../support/search-writer.ts'
import { type SearchKind, SearchServer } from '../support/servers/search.ts'
import { temporaryDirectory } from '../support/temporary.ts'

export const sample: DriverSample = {
  type: 'opensearch',
  level: 'point',
  create: () => createSearchSample('opensearch'),
}

export async function createSearchSample(kind: SearchKind): Promise<LiveSample & { readonly server: SearchServer }> {
  const server = await SearchServer.start(kind)
  fillServer(server)
  return {
    server,
    config: { url: server.url, ...oddConfig },
    projectDirectory: await temporaryDirectory(),
    change: async (seed) => changeServer(server, seed),
    fingerprint: async () => contentOf(server),
    strangers: async () => strangersOf(server),
    leftOver: async (id) =>
      [...server.indices.values()]
        .filter(({ name, aliases }) => name.includes(id) && aliases.size === 0)
        .map(({ name }) => name),
    remove: async () => removeAll(server),
    ruins: {},
    startWriter: () => startSearchWriter(`${server.url}/shop-written`),
    written: async () => {
      const docs = [...(server.index('shop-written')?.docs.values() ?? [])]
      return docs.map(({ id }) => Number(id)).sort((a, b) => a - b)
    },
    fingerprintExport,
  }
}

async function fingerprintExport(directory: string, paths: readonly string[]): Promise<string> {
  const { indices, others } = JSON.parse(await readFile(path.join(directory, 'definitions.json'), 'utf8'))
  const filled = []
  for (const { name, ...definition } of indices) {
    const file = paths.find((each) => each === `${encodeURIComponent(name)}.ndjson`)!
    const lines = (await readFile(path.join(directory, file), 'utf8')).split('\n').slice(0, -1)
    const docs = lines.flatMap((line, position) => {
      if (position % 2 === 1) return []
      const { _id: id, routing } = JSON.parse(line).index
      return [{ id, routing, source: lines[position + 1]! }]
    })
    filled.push({ name, ...definition, docs: docLines(docs) })
  }
  return stable({ indices: filled, others })
}
