/** As much of BSON as documents of tests need. */
export type Value =
  | string
  | number
  | bigint
  | boolean
  | null
  | Date
  | Uint8Array
  | readonly Value[]
  | { readonly [key: string]: Value }

export function encode(document: { readonly [key: string]: Value }): Buffer {
  const body = Buffer.concat(Object.entries(document).map(([key, value]) => element(key, value)))
  return Buffer.concat([int32(body.length + 5), body, Buffer.from([0])])
}

function element(key: string, value: Value): Buffer {
  const [type, bytes] = bytesOf(value)
  return Buffer.concat([Buffer.from([type]), Buffer.from(`${key}\0`), bytes])
}

function bytesOf(value: Value): [number, Buffer] {
  if (typeof value === 'string') {
    const text = Buffer.from(`${value}\0`)
    return [0x02, Buffer.concat([int32(text.length), text])]
  }
  if (typeof value === 'bigint') return [0x12, int64(value)]
  if (typeof value === 'boolean') return [0x08, Buffer.from([value ? 1 : 0])]
  if (value === null) return [0x0a, Buffer.alloc(0)]
  if (typeof value === 'number') return Number.isInteger(value) ? [0x10, int32(value)] : [0x01, double(value)]
  if (value instanceof Date) return [0x09, int64(BigInt(value.getTime()))]
  if (value instanceof Uint8Array) return [0x05, Buffer.concat([int32(value.length), Buffer.from([0]), value])]
  return Array.isArray(value)
    ? [0x04, encode(Object.fromEntries(value.map((each, i) => [String(i), each])))]
    : [0x03, encode(value as { readonly [key: string]: Value })]
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  return bytes
}

function int64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64LE(value)
  return bytes
}

function double(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return bytes
}

/** The fields of a document: name, and type and bytes of the value in hexadecimal. Throws for what is no document. */
export function fieldsOf(document: Uint8Array): Map<string, string> {
  const bytes = Buffer.from(document)
  if (bytes.length < 5 || bytes.readInt32LE() !== bytes.length || bytes.at(-1) !== 0) throw new Error('invalid BSON')
  const fields = new Map<string, string>()
  for (let at = 4; at < bytes.length - 1; ) {
    const end = bytes.indexOf(0, at + 1)
    const size = sizeOf(bytes[at]!, bytes, end + 1)
    fields.set(
      bytes.toString('utf8', at + 1, end),
      bytes.toString('hex', at, at + 1) + bytes.toString('hex', end + 1, end + 1 + size),
    )
    at = end + 1 + size
  }
  return fields
}

function sizeOf(type: number, bytes: Buffer, at: number): number {
  if (type === 0x02) return 4 + bytes.readInt32LE(at)
  if (type === 0x03 || type === 0x04) return bytes.readInt32LE(at)
  if (type === 0x05) return 5 + bytes.readInt32LE(at)
  const size = new Map([
    [0x01, 8],
    [0x07, 12],
    [0x08, 1],
    [0x09, 8],
    [0x0a, 0],
    [0x10, 4],
    [0x12, 8],
  ]).get(type)
  if (size === undefined) throw new Error(`a type of BSON that tests do not know: ${type}`)
  return size
}

/** The value of an int32 as {@link fieldsOf} gives it. */
export function int32In(field: string | undefined): number {
  return field?.startsWith('10') ? Buffer.from(field.slice(2), 'hex').readInt32LE() : Number.NaN
}
