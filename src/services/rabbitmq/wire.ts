/**
 * The little of AMQP 0-9-1 that is needed here, byte by byte. Properties of messages pass through as the bytes they are: a client library decodes them
 * into numbers and strings of its own, and cannot say afterwards how wide a number was, or give back text that is no UTF-8.
 */

export const frameTypes = { method: 1, header: 2, body: 3, heartbeat: 8 } as const
const frameEnd = 0xce

export type Frame = { readonly type: number; readonly channel: number; readonly payload: Buffer }

/** A method by its class and number, as one: `0x003c0028` is basic.publish. */
export const methods = {
  connectionStart: 0x000a000a,
  connectionStartOk: 0x000a000b,
  connectionSecure: 0x000a0014,
  connectionTune: 0x000a001e,
  connectionTuneOk: 0x000a001f,
  connectionOpen: 0x000a0028,
  connectionOpenOk: 0x000a0029,
  connectionClose: 0x000a0032,
  connectionCloseOk: 0x000a0033,
  connectionBlocked: 0x000a003c,
  connectionUnblocked: 0x000a003d,
  channelOpen: 0x0014000a,
  channelOpenOk: 0x0014000b,
  channelClose: 0x00140028,
  channelCloseOk: 0x00140029,
  queueDeclare: 0x0032000a,
  queueDeclareOk: 0x0032000b,
  basicQos: 0x003c000a,
  basicQosOk: 0x003c000b,
  basicConsume: 0x003c0014,
  basicConsumeOk: 0x003c0015,
  basicCancel: 0x003c001e,
  basicCancelOk: 0x003c001f,
  basicPublish: 0x003c0028,
  basicReturn: 0x003c0032,
  basicDeliver: 0x003c003c,
  basicGet: 0x003c0046,
  basicGetOk: 0x003c0047,
  basicGetEmpty: 0x003c0048,
  basicAck: 0x003c0050,
  basicNack: 0x003c0078,
  txSelect: 0x005a000a,
  txSelectOk: 0x005a000b,
  txCommit: 0x005a0014,
  txCommitOk: 0x005a0015,
} as const

export function encodeFrame({ type, channel, payload }: Frame): Buffer {
  const frame = Buffer.allocUnsafe(payload.length + 8)
  frame.writeUInt8(type, 0)
  frame.writeUInt16BE(channel, 1)
  frame.writeUInt32BE(payload.length, 3)
  payload.copy(frame, 7)
  frame.writeUInt8(frameEnd, payload.length + 7)
  return frame
}

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  *read(part: Buffer): Generator<Frame> {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, part]) : part
    let offset = 0
    while (bytes.length - offset >= 8) {
      const length = bytes.readUInt32BE(offset + 3)
      const end = offset + 7 + length
      if (bytes.length <= end) break
      if (bytes[end] !== frameEnd) throw new Error('what answers does not speak AMQP 0-9-1')
      yield {
        type: bytes[offset]!,
        channel: bytes.readUInt16BE(offset + 1),
        payload: bytes.subarray(offset + 7, end),
      }
      offset = end + 1
    }
    this.#rest = Buffer.from(bytes.subarray(offset))
  }
}

/** Arguments of a method, one after the other. */
export class ArgumentWriter {
  readonly #parts: Buffer[] = []

  octet(value: number): this {
    return this.#add(Buffer.from([value]))
  }

  short(value: number): this {
    const bytes = Buffer.allocUnsafe(2)
    bytes.writeUInt16BE(value)
    return this.#add(bytes)
  }

  long(value: number): this {
    const bytes = Buffer.allocUnsafe(4)
    bytes.writeUInt32BE(value)
    return this.#add(bytes)
  }

  longLong(value: bigint): this {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeBigUInt64BE(value)
    return this.#add(bytes)
  }

  shortString(text: string): this {
    const bytes = Buffer.from(text)
    if (bytes.length > 255) throw new Error('a short string of AMQP has at most 255 bytes')
    return this.octet(bytes.length).#add(bytes)
  }

  longString(bytes: Uint8Array): this {
    return this.long(bytes.length).#add(Buffer.from(bytes))
  }

  /** A table of numbers, truths and texts. */
  table(entries: Readonly<Record<string, number | boolean | string | Record<string, boolean>>>): this {
    const inner = new ArgumentWriter()
    for (const [key, value] of Object.entries(entries)) {
      inner.shortString(key)
      if (typeof value === 'number') inner.octet(0x49).long(value)
      else if (typeof value === 'boolean') inner.octet(0x74).octet(Number(value))
      else if (typeof value === 'string') inner.octet(0x53).longString(Buffer.from(value))
      else inner.octet(0x46).table(value)
    }
    return this.longString(inner.bytes())
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts)
  }

  #add(bytes: Buffer): this {
    this.#parts.push(bytes)
    return this
  }
}

export class ArgumentReader {
  readonly #bytes: Buffer
  offset: number

  constructor(bytes: Buffer, offset = 0) {
    this.#bytes = bytes
    this.offset = offset
  }

  octet(): number {
    return this.#bytes.readUInt8(this.#step(1))
  }

  short(): number {
    return this.#bytes.readUInt16BE(this.#step(2))
  }

  long(): number {
    return this.#bytes.readUInt32BE(this.#step(4))
  }

  longLong(): bigint {
    return this.#bytes.readBigUInt64BE(this.#step(8))
  }

  shortString(): string {
    return this.take(this.octet()).toString()
  }

  longString(): Buffer {
    return this.take(this.long())
  }

  take(length: number): Buffer {
    const start = this.#step(length)
    if (this.offset > this.#bytes.length) throw new RangeError('bytes of AMQP end too early')
    return this.#bytes.subarray(start, this.offset)
  }

  get isAtEnd(): boolean {
    return this.offset >= this.#bytes.length
  }

  #step(length: number): number {
    const start = this.offset
    this.offset += length
    return start
  }
}

export function methodPayload(method: number, args: Buffer): Buffer {
  const payload = Buffer.allocUnsafe(args.length + 4)
  payload.writeUInt32BE(method)
  args.copy(payload, 4)
  return payload
}
