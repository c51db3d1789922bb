import { setTimeout as sleep } from 'node:timers/promises'
import { EnvError } from '../../domain/errors.ts'
import type { Client } from './client.ts'
import type { Document } from './documents.ts'
import { at, type Exact, isList } from './exact-json.ts'

const batchBytes = 5_242_880
const batchCount = 1000
/** How often a server may say that it has too much to do, with growing pauses. */
const attempts = 6
const firstPauseMs = 100

/** Adds documents to an index that nobody else knows; the ids must be new. Gives their number. */
export async function loadDocuments(
  client: Client,
  index: string,
  documents: AsyncIterable<Document>,
  progress: (bytes: number) => void,
): Promise<number> {
  let batch: Document[] = []
  let bytes = 0
  let count = 0
  const flush = async () => {
    if (batch.length > 0) await sendBatch(client, index, batch)
    progress(bytes)
    batch = []
    bytes = 0
  }
  for await (const document of documents) {
    count++
    if (hasLineBreak(document.source)) {
      await sendOne(client, index, document)
      progress(document.source.length)
      continue
    }
    batch.push(document)
    bytes += document.source.length
    if (bytes >= batchBytes || batch.length >= batchCount) await flush()
  }
  await flush()
  return count
}

/** A line break ends a document in a `_bulk`; between the members of one it is allowed, and kept as it is. */
function hasLineBreak(source: Uint8Array): boolean {
  return source.includes(10) || source.includes(13)
}

async function sendOne(client: Client, index: string, { id, routing, source }: Document): Promise<void> {
  await client.send('PUT', `/${encodeURIComponent(index)}/_create/${encodeURIComponent(id)}`, {
    query: { pipeline: '_none', ...(routing === undefined ? {} : { routing }) },
    body: source,
  })
}

async function sendBatch(client: Client, index: string, documents: readonly Document[]): Promise<void> {
  let left = documents
  let pauseMs = firstPauseMs
  for (let attempt = 1; ; attempt++) {
    left = await sendBulk(client, index, left)
    if (left.length === 0) return
    if (attempt === attempts) {
      throw new EnvError('unavailable', `${client.server.name}: the server has no room for ${left.length} documents`, {
        hint: 'run the command again when the server has less to do',
      })
    }
    await sleep(pauseMs)
    pauseMs *= 2
  }
}

/** Gives those that the server had no room for. */
async function sendBulk(client: Client, index: string, documents: readonly Document[]): Promise<readonly Document[]> {
  const newline = Buffer.from('\n')
  const parts = documents.flatMap(({ id, routing, source }) => [
    Buffer.from(JSON.stringify({ create: { _id: id, ...(routing === undefined ? {} : { routing }) } })),
    newline,
    source,
    newline,
  ])
  const answer = await client.send('POST', `/${encodeURIComponent(index)}/_bulk`, {
    query: { pipeline: '_none' },
    body: Buffer.concat(parts),
    type: 'application/x-ndjson',
    also: [429],
  })
  if (answer.status === 429) return documents
  const told = client.parse(answer.body)
  if (at(told, 'errors') === false) return []
  const list = at(told, 'items')
  const items = isList(list) ? list : []
  if (items.length !== documents.length) {
    throw new EnvError(
      'unavailable',
      `${client.server.name}: of ${documents.length} documents the server answered ${items.length}`,
    )
  }
  return documents.filter((document, position) => isTurnedAway(client, document, at(items[position], 'create')))
}

function isTurnedAway(client: Client, { id }: Document, item: Exact | undefined): boolean {
  const status = Number(at(item, 'status'))
  if (status === 429) return true
  if (status >= 200 && status < 300) return false
  const said = [at(item, 'error', 'type'), at(item, 'error', 'reason')].filter((text) => typeof text === 'string')
  throw new EnvError(
    'refused',
    `${client.server.name}: the server does not take the document ${id}: ${said.join(': ').slice(0, 300)}`,
    {
      hint: 'nothing was changed; was the snapshot taken from another version or product?',
    },
  )
}
