import { createHash, hash } from 'node:crypto'
import type { Content, ContentSink } from '../../domain/content.ts'
import type { Client } from './client.ts'
import { type Document, encodeDocument } from './documents.ts'
import { refresh } from './indices.ts'
import { Point } from './points.ts'
import type { Product } from './product.ts'
import { sortedDocuments } from './sorted-documents.ts'

export type Stored = { readonly content: Content; readonly rows: number }

export type Reading = {
  readonly client: Client
  readonly product: Product
  readonly sink: Pick<ContentSink, 'write'>
  /** Where a large index is sorted. */
  readonly directory: string
  readonly progress: (bytes: number) => void
}

/** The stream of an index, from a point. */
export async function storeDocuments(
  { sink, directory, progress }: Reading,
  point: Point,
  index: { readonly name: string; readonly shards: number },
): Promise<Stored> {
  let rows = 0
  const counted = async function* (documents: AsyncIterable<Document>) {
    for await (const document of documents) {
      rows++
      const bytes = encodeDocument(document)
      progress(bytes.length)
      yield bytes
    }
  }
  const content = await sink.write(
    'rows',
    counted(sortedDocuments(point.documents(index.name, index.shards), directory)),
  )
  return { content, rows }
}

/** The same for an index as it is now. */
export async function storeNow(
  reading: Reading,
  physical: string,
  index: { readonly name: string; readonly shards: number },
): Promise<Stored> {
  await refresh(reading.client, [physical])
  const point = await Point.open(reading.client, reading.product, physical)
  try {
    return await storeDocuments(reading, point, index)
  } finally {
    await point.close()
  }
}

/** Tells what a stream would be, and keeps nothing of it. */
export const digestOnly: Pick<ContentSink, 'write'> = {
  async write(_profile, bytes) {
    if (bytes instanceof Uint8Array) return { bytes: bytes.length, sha256: hash('sha256', bytes), chunks: [] }
    const digest = createHash('sha256')
    let length = 0
    for await (const part of bytes) {
      digest.update(part)
      length += part.length
    }
    return { bytes: length, sha256: digest.digest('hex'), chunks: [] }
  },
}
