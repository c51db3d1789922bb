import type { Json } from '../../domain/canonical-json.ts'
import type { Content, ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { Level, ObjectRecord, ServiceRecord, StreamRecord } from '../../domain/manifest.ts'

export const functionsStream = 'functions'

/** One index alone is `keys`: it may be restored into another. Of a whole server each has its number. */
function keysStream(index: number | undefined): string {
  return index === undefined ? 'keys' : `keys-${index}`
}

/** The index that a stream of a whole server is of. */
export function indexOfStream(stream: string): number | undefined {
  const number = /^keys-(\d+)$/.exec(stream)?.[1]
  return number === undefined ? undefined : Number(number)
}

export type KeysContent = { readonly index: number | undefined; readonly keys: number; readonly content: Content }

export type RecordBase = {
  readonly name: string
  readonly level: Level
  readonly live: readonly string[]
  readonly versions: Readonly<Record<string, string>>
  /** Whether it is of a whole server. */
  readonly isWhole: boolean
}

/** An index without keys, or a server without keys and functions, is absent. */
export function recordOf(
  base: RecordBase,
  indexes: readonly KeysContent[],
  functions: { readonly content: Content; readonly count: number } | undefined,
): ServiceRecord {
  const streams: StreamRecord[] = []
  const objects: ObjectRecord[] = []
  for (const { index, keys, content } of indexes) {
    if (keys === 0) continue
    streams.push({ name: keysStream(index), kind: 'bytes', content })
    const name = index === undefined ? 'keys' : `index ${index}`
    objects.push({ name, kind: 'index', rows: keys, digest: content.sha256 })
  }
  if (functions && functions.count > 0) {
    streams.push({ name: functionsStream, kind: 'bytes', content: functions.content })
    objects.push({ name: functionsStream, kind: 'functions', rows: functions.count, digest: functions.content.sha256 })
  }
  const isPresent = streams.length > 0
  return {
    name: base.name,
    kind: 'service',
    type: 'redis',
    presence: isPresent ? 'present' : 'absent',
    level: base.level,
    live: base.live,
    bytes: streams.reduce((sum, { content }) => sum + content.bytes, 0),
    files: 0,
    streams: streams.sort(byName),
    objects: objects.sort(byName),
    versions: isPresent ? base.versions : {},
    facts: isPresent ? { scope: base.isWhole ? 'server' : 'index' } : ({} as Record<string, Json>),
  }
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}

/** One key with its value as an RDB has it. */
export type KeyRecord = {
  readonly key: Buffer
  /** Milliseconds since 1970 at which it expires; -1: never. */
  readonly expires: number
  readonly type: number
  readonly value: Buffer
}

export const keysHeader = Buffer.from('git-env redis keys 1\n')
export const functionsHeader = Buffer.from('git-env redis functions 1\n')

/** Bytes before the key: length of what follows these four bytes, length of the key, time, type. */
export const recordHead = 17

export function writeRecord(into: Buffer, at: number, { key, expires, type, value }: KeyRecord): number {
  into.writeUInt32BE(recordHead - 4 + key.length + value.length, at)
  into.writeUInt32BE(key.length, at + 4)
  into.writeBigInt64BE(BigInt(expires), at + 8)
  into[at + 16] = type
  into.set(key, at + recordHead)
  into.set(value, at + recordHead + key.length)
  return at + recordHead + key.length + value.length
}

export function recordLength(key: Uint8Array, value: Uint8Array): number {
  return recordHead + key.length + value.length
}

export function readRecord(bytes: Buffer): KeyRecord {
  const end = recordHead + bytes.readUInt32BE(4)
  if (end > bytes.length) throw new EnvError('damaged', 'a stored key is longer than its record')
  return {
    expires: Number(bytes.readBigInt64BE(8)),
    type: bytes[16]!,
    key: bytes.subarray(recordHead, end),
    value: bytes.subarray(end),
  }
}

/** Cuts bytes into records, in batches as they come. */
export async function* cutRecords(bytes: AsyncIterable<Uint8Array>, header: Uint8Array): AsyncGenerator<Buffer[]> {
  let parts: Buffer[] = []
  let held = 0
  let needed = header.length
  let isBegun = false
  for await (const part of bytes) {
    // A producer may use one buffer for all.
    parts.push(Buffer.from(part))
    held += part.length
    if (held < needed) continue
    const buffer = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    let at = 0
    if (!isBegun) {
      if (!buffer.subarray(0, header.length).equals(header)) throw unknownForm()
      isBegun = true
      at = header.length
    }
    const batch: Buffer[] = []
    for (needed = 4; at + 4 <= buffer.length; ) {
      const end = at + 4 + buffer.readUInt32BE(at)
      if (end > buffer.length) {
        needed = end - at
        break
      }
      if (end < at + recordHead && header === keysHeader) throw new EnvError('damaged', 'a stored key is cut short')
      batch.push(buffer.subarray(at, end))
      at = end
    }
    parts = [buffer.subarray(at)]
    held = buffer.length - at
    if (batch.length > 0) yield batch
  }
  if (held > 0 || !isBegun) throw new EnvError('damaged', 'a stream of keys ends in the middle of one')
}

function unknownForm(): EnvError {
  return new EnvError('refused', 'keys that a newer git-env wrote', { hint: 'install a newer git-env' })
}

export function readKeys(source: ContentSource, content: Content): AsyncGenerator<Buffer[]> {
  return cutRecords(source.read(content), keysHeader)
}

/** The code of each library, sorted. */
export function encodeFunctions(libraries: readonly Buffer[]): Buffer {
  const sorted = libraries.toSorted(Buffer.compare)
  const parts = sorted.flatMap((code) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(code.length)
    return [length, code]
  })
  return Buffer.concat([functionsHeader, ...parts])
}

export async function readFunctions(source: ContentSource, record: ServiceRecord): Promise<Buffer[]> {
  const stream = record.streams.find(({ name }) => name === functionsStream)
  if (!stream) return []
  const libraries: Buffer[] = []
  for await (const batch of cutRecords(source.read(stream.content), functionsHeader)) {
    for (const each of batch) libraries.push(each.subarray(4))
  }
  return libraries
}
