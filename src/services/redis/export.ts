import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { ContentSource } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Exported } from '../service-driver.ts'
import { Checksum } from './checksum.ts'
import { RdbWriter } from './rdb-bytes.ts'
import { functionsStream, indexOfStream, readFunctions, readKeys, readRecord } from './records.ts'
import { versionOfType } from './values.ts'

const oldestVersion = 10

/** `<name>.rdb`, with which a server can be started; one index alone is index 0 there. */
export async function exportKeys(record: ServiceRecord, source: ContentSource, directory: string): Promise<Exported[]> {
  await mkdir(directory, { recursive: true })
  if (record.streams.length === 0) return []
  const file = `${record.name}.rdb`
  const version = await neededVersion(record, source)
  await pipeline(
    summed(contents(record, source, version)),
    createWriteStream(path.join(directory, file), { flags: 'wx', mode: 0o600 }),
  )
  return record.streams.map(({ name }) => ({ stream: name, path: file }))
}

/** The lowest version that has all types of values. */
async function neededVersion(record: ServiceRecord, source: ContentSource): Promise<number> {
  let version = oldestVersion
  for (const { name, content } of record.streams) {
    if (name === functionsStream) continue
    for await (const batch of readKeys(source, content)) {
      for (const each of batch) version = Math.max(version, versionOfType(readRecord(each).type))
    }
  }
  return version
}

async function* contents(record: ServiceRecord, source: ContentSource, version: number): AsyncGenerator<Uint8Array> {
  yield Buffer.from(
    version >= 80 ? `VALKEY${String(version).padStart(3, '0')}` : `REDIS${String(version).padStart(4, '0')}`,
  )
  const writer = new RdbWriter()
  for (const code of await readFunctions(source, record)) {
    writer.raw(Buffer.of(245))
    writer.string(code)
  }
  const streams = record.streams
    .filter(({ name }) => name !== functionsStream)
    .map(({ name, content }) => ({ index: indexOfStream(name) ?? 0, content }))
  for (const { index, content } of streams.sort((a, b) => a.index - b.index)) {
    writer.raw(Buffer.of(254))
    writer.length(index)
    for await (const batch of readKeys(source, content)) {
      for (const each of batch) {
        const { key, expires, type, value } = readRecord(each)
        if (expires >= 0) {
          const time = Buffer.alloc(9)
          time[0] = 252
          time.writeBigInt64LE(BigInt(expires), 1)
          writer.raw(time)
        }
        writer.raw(Buffer.of(type))
        writer.string(key)
        writer.raw(value)
      }
      yield Buffer.from(writer.bytes)
      writer.clear()
    }
  }
  yield Buffer.concat([writer.bytes, Buffer.of(255)])
}

async function* summed(parts: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const checksum = new Checksum()
  for await (const part of parts) {
    checksum.update(part)
    yield part
  }
  yield checksum.bytes
}
