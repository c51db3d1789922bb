import { ArgumentReader, ArgumentWriter } from './wire.ts'

/** What has to be known of a message's properties, which else stay the bytes they are: two octets of flags, then the properties that are there. */

const flags = { contentType: 0x8000, contentEncoding: 0x4000, headers: 0x2000 } as const
const flagOrder = [
  ['content_type', 0x8000, 'text'],
  ['content_encoding', 0x4000, 'text'],
  ['headers', 0x2000, 'table'],
  ['delivery_mode', 0x1000, 'octet'],
  ['priority', 0x0800, 'octet'],
  ['correlation_id', 0x0400, 'text'],
  ['reply_to', 0x0200, 'text'],
  ['expiration', 0x0100, 'text'],
  ['message_id', 0x0080, 'text'],
  ['timestamp', 0x0040, 'time'],
  ['type', 0x0020, 'text'],
  ['user_id', 0x0010, 'text'],
  ['app_id', 0x0008, 'text'],
  ['cluster_id', 0x0004, 'text'],
] as const

type Entry = { readonly key: string; readonly start: number; readonly end: number }

/** Where in the bytes the table of headers lies (with its length), and each entry of it. */
function headersOf(properties: Buffer): { start: number; end: number; entries: Entry[] } | undefined {
  const reader = new ArgumentReader(properties)
  const present = reader.short()
  if ((present & flags.headers) === 0) return undefined
  if (present & flags.contentType) reader.shortString()
  if (present & flags.contentEncoding) reader.shortString()
  const start = reader.offset
  const end = reader.long() + reader.offset
  const entries: Entry[] = []
  while (reader.offset < end) {
    const from = reader.offset
    const key = reader.take(reader.octet()).toString('latin1')
    value(reader)
    entries.push({ key, start: from, end: reader.offset })
  }
  return { start, end, entries }
}

/** How often a quorum queue has delivered it and got it back, as the queue itself writes among the headers. */
const countHeader = 'x-delivery-count'

/**
 * Properties as the publisher gave them: without what a quorum queue adds at each delivery. A table that is empty then is left out, so that a
 * first delivery and a later one look the same.
 */
export function withoutDeliveryCount(properties: Buffer): { readonly properties: Buffer; readonly count: number } {
  const headers = headersOf(properties)
  if (!headers) return { properties, count: 0 }
  const added = headers.entries.find((entry) => entry.key === countHeader)
  const kept = headers.entries.filter((entry) => entry !== added)
  const count = added ? Number(value(new ArgumentReader(properties, added.start + 1 + countHeader.length))) : 0
  if (!added && kept.length > 0) return { properties, count }
  const before = Buffer.from(properties.subarray(0, headers.start))
  const after = properties.subarray(headers.end)
  if (kept.length === 0) {
    before.writeUInt16BE(before.readUInt16BE(0) & ~flags.headers)
    return { properties: Buffer.concat([before, after]), count }
  }
  const table = Buffer.concat(kept.map(({ start, end }) => properties.subarray(start, end)))
  return { properties: Buffer.concat([before, new ArgumentWriter().longString(table).bytes(), after]), count }
}

/** Whether the message names more routing keys, by which most exchanges would send it to other queues too. */
export function hasMoreRoutes(properties: Buffer): boolean {
  if (!properties.includes('CC')) return false
  return headersOf(properties)?.entries.some(({ key }) => key === 'CC' || key === 'BCC') ?? false
}

/** What the broker checks: the user that the message says it is from. */
export function userIdOf(properties: Buffer): string | undefined {
  if ((properties.readUInt16BE(0) & 0x0010) === 0) return undefined
  return readProperties(properties)['user_id'] as string
}

/** As people read them. */
export function readProperties(properties: Buffer): Record<string, unknown> {
  const reader = new ArgumentReader(properties)
  const present = reader.short()
  const read = {
    text: () => reader.shortString(),
    octet: () => reader.octet(),
    time: () => Number(reader.longLong()),
    table: () => table(reader),
  }
  return Object.fromEntries(
    flagOrder.filter(([, flag]) => present & flag).map(([name, , kind]) => [name, read[kind]()]),
  )
}

function table(reader: ArgumentReader): Record<string, unknown> {
  const end = reader.long() + reader.offset
  const entries: [string, unknown][] = []
  while (reader.offset < end) entries.push([reader.shortString(), value(reader)])
  return Object.fromEntries(entries)
}

/** One value of a table, as RabbitMQ writes them. */
function value(reader: ArgumentReader): unknown {
  const kind = String.fromCharCode(reader.octet())
  switch (kind) {
    case 't':
      return reader.octet() !== 0
    case 'b':
      return reader.take(1).readInt8()
    case 'B':
      return reader.octet()
    case 's':
      return reader.take(2).readInt16BE()
    case 'u':
      return reader.short()
    case 'I':
      return reader.take(4).readInt32BE()
    case 'i':
      return reader.long()
    case 'l':
      return numeric(reader.take(8).readBigInt64BE())
    case 'T':
      return numeric(reader.longLong())
    case 'f':
      return reader.take(4).readFloatBE()
    case 'd':
      return reader.take(8).readDoubleBE()
    case 'D': {
      const scale = reader.octet()
      return `${reader.take(4).readInt32BE()}e-${scale}`
    }
    case 'S':
      return reader.longString().toString()
    case 'x':
      return reader.longString().toString('base64')
    case 'F':
      return table(reader)
    case 'A': {
      const end = reader.long() + reader.offset
      const items: unknown[] = []
      while (reader.offset < end) items.push(value(reader))
      return items
    }
    case 'V':
      return null
    default:
      throw new RangeError(`a header is of the unknown kind ${JSON.stringify(kind)}`)
  }
}

function numeric(number: bigint): number | string {
  return Number.isSafeInteger(Number(number)) ? Number(number) : String(number)
}
