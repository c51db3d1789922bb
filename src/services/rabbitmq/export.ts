import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { ContentSource } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Exported } from '../service-driver.ts'
import type { Definitions } from './definitions.ts'
import { decodeMessages } from './messages.ts'
import { readProperties } from './properties.ts'
import { definitionsStream, queueOf } from './record.ts'

/**
 * `<name>.definitions.json`, as `rabbitmqctl import_definitions` and the management interface read it for a vhost, and for each queue
 * a file with one line of JSON for each message, in the form in which the management interface publishes.
 */
export async function exportVhost(
  record: ServiceRecord,
  source: ContentSource,
  directory: string,
): Promise<Exported[]> {
  await mkdir(directory, { recursive: true })
  const exported: Exported[] = []
  let next = 0
  for (const { name: stream, content } of record.streams) {
    const queue = queueOf(stream)
    const file =
      stream === definitionsStream ? `${record.name}.definitions.json` : `${record.name}.queue-${++next}.jsonl`
    const lines = queue === undefined ? definitionText(source.read(content)) : messageLines(queue, source.read(content))
    await pipeline(lines, createWriteStream(path.join(directory, file), { flags: 'wx', mode: 0o600 }))
    exported.push({ stream, path: file })
  }
  return exported
}

async function* definitionText(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const parts: Uint8Array[] = []
  for await (const part of bytes) parts.push(part)
  const { queues, exchanges, ...rest } = JSON.parse(Buffer.concat(parts).toString()) as Definitions
  const durable = <T extends object>(items: readonly T[]) => items.map((each) => ({ ...each, durable: true }))
  yield `${JSON.stringify({ ...rest, queues: durable(queues), exchanges: durable(exchanges) }, undefined, 2)}\n`
}

async function* messageLines(queue: string, bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  for await (const { exchange, routingKey, properties, body } of decodeMessages(bytes)) {
    const line = {
      queue,
      exchange: exchange ?? null,
      routing_key: routingKey,
      properties: readProperties(properties),
      payload: body.toString('base64'),
      payload_encoding: 'base64',
    }
    yield `${JSON.stringify(line)}\n`
  }
}
