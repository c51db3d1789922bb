import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { ContentSource } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Exported } from '../service-driver.ts'
import { decodeDocuments } from './documents.ts'
import { stableText } from './exact-json.ts'
import { definitionsStream, documentsStream, loadDefinitions, storedOf } from './record.ts'

/** `definitions.json`, and for each index a file that `_bulk` takes: `curl -H 'content-type: application/x-ndjson' --data-binary @<file> <url>/<index>/_bulk`. */
export async function exportIndices(
  record: ServiceRecord,
  source: ContentSource,
  directory: string,
): Promise<Exported[]> {
  await mkdir(directory, { recursive: true })
  if (record.presence !== 'present') return []
  const definitions = await loadDefinitions(source, record)
  const exported: Exported[] = [{ stream: definitionsStream, path: 'definitions.json' }]
  await write(path.join(directory, 'definitions.json'), [`${stableText(definitions as never)}\n`])
  for (const [name, { content }] of storedOf(record)) {
    const file = `${encodeURIComponent(name)}.ndjson`
    await write(path.join(directory, file), bulkLines(source.read(content)))
    exported.push({ stream: documentsStream(name), path: file })
  }
  return exported
}

async function* bulkLines(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string | Uint8Array> {
  for await (const { id, routing, source } of decodeDocuments(bytes)) {
    yield `${JSON.stringify({ index: { _id: id, ...(routing === undefined ? {} : { routing }) } })}\n`
    // Line breaks can only stand between members, where a space says the same.
    yield Uint8Array.from(source, (byte) => (byte === 10 || byte === 13 ? 32 : byte))
    yield '\n'
  }
}

async function write(file: string, parts: Iterable<string> | AsyncIterable<string | Uint8Array>): Promise<void> {
  await pipeline(parts, createWriteStream(file, { flags: 'wx', mode: 0o600 }))
}
