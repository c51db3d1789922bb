import { hash } from 'node:crypto'
import { EnvError } from '../../domain/errors.ts'
import type { Message } from './channel.ts'
import { ArgumentReader, ArgumentWriter } from './wire.ts'

/** A message as it is stored: `exchange` is known where publishing to it again reaches the one queue and no other. */
export type StoredMessage = Omit<Message, 'exchange'> & { readonly exchange: string | undefined }

/** An octet 1 and the exchange, or an octet 0; the routing key; the properties with their length (4 octets); the body with its length (8 octets). */
export function encodeMessage({ exchange, routingKey, properties, body }: StoredMessage): Buffer {
  const from = exchange === undefined ? Buffer.from([0]) : new ArgumentWriter().octet(1).shortString(exchange).bytes()
  const key = Buffer.from(routingKey)
  const bytes = Buffer.allocUnsafe(from.length + 1 + key.length + 4 + properties.length + 8 + body.length)
  let at = from.copy(bytes)
  at = bytes.writeUInt8(key.length, at)
  at += key.copy(bytes, at)
  at = bytes.writeUInt32BE(properties.length, at)
  at += properties.copy(bytes, at)
  at = bytes.writeBigUInt64BE(BigInt(body.length), at)
  body.copy(bytes, at)
  return bytes
}

/** Of all that a consumer sees but the exchange. */
export function digestOf({ routingKey, properties, body }: Omit<Message, 'exchange'>): string {
  return hash('sha256', encodeMessage({ exchange: undefined, routingKey, properties, body }))
}

/** Messages from bytes that come in any parts. */
export async function* decodeMessages(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<StoredMessage> {
  let parts: Uint8Array[] = []
  let length = 0
  let wanted = 1
  for await (const part of bytes) {
    parts.push(part)
    length += part.length
    if (length < wanted) continue
    const whole = Buffer.concat(parts)
    let offset = 0
    for (;;) {
      const read = readMessage(whole, offset)
      if (typeof read === 'number') {
        wanted = read - offset
        break
      }
      yield read.message
      offset = read.end
    }
    parts = [Buffer.from(whole.subarray(offset))]
    length = whole.length - offset
  }
  if (length > 0) throw new EnvError('damaged', 'stored messages end in the middle of one')
}

/** The message that begins at this offset; or up to where bytes are needed at least. */
function readMessage(bytes: Buffer, offset: number): { message: StoredMessage; end: number } | number {
  const reader = new ArgumentReader(bytes, offset)
  try {
    const exchange = reader.octet() === 1 ? reader.shortString() : undefined
    const routingKey = reader.shortString()
    const properties = reader.longString()
    const length = Number(reader.longLong())
    if (reader.offset + length > bytes.length) return reader.offset + length
    return { message: { exchange, routingKey, properties, body: reader.take(length) }, end: reader.offset }
  } catch (error) {
    if (error instanceof RangeError) return bytes.length + 1
    throw error
  }
}
