import { BadRdb } from './rdb-bytes.ts'

/** The elements of a listpack, in which Redis keeps small collections. */
export function listpack(bytes: Buffer): Buffer[] {
  const elements: Buffer[] = []
  let at = 6
  for (;;) {
    const first = bytes[at]
    if (first === undefined) throw new BadRdb('a listpack that is cut short')
    if (first === 0xff) return elements
    const [header, text] = element(bytes, at, first)
    elements.push(text)
    const length = header + (isText(first) ? text.length : 0)
    at += length + backLength(length)
  }
}

function isText(first: number): boolean {
  return (first & 0xc0) === 0x80 || (first & 0xf0) === 0xe0 || first === 0xf0
}

/** Length of all but the text, and the element as text. */
function element(bytes: Buffer, at: number, first: number): [number, Buffer] {
  if (first < 0x80) return [1, number(first)]
  if ((first & 0xc0) === 0x80) return [1, part(bytes, at + 1, first & 0x3f)]
  if ((first & 0xe0) === 0xc0) {
    const value = ((first & 0x1f) << 8) | bytes[at + 1]!
    return [2, number(value >= 1 << 12 ? value - (1 << 13) : value)]
  }
  if ((first & 0xf0) === 0xe0) return [2, part(bytes, at + 2, ((first & 0x0f) << 8) | bytes[at + 1]!)]
  if (first === 0xf0) return [5, part(bytes, at + 5, bytes.readUInt32LE(at + 1))]
  if (first === 0xf1) return [3, number(bytes.readInt16LE(at + 1))]
  if (first === 0xf2) return [4, number(bytes.readIntLE(at + 1, 3))]
  if (first === 0xf3) return [5, number(bytes.readInt32LE(at + 1))]
  if (first === 0xf4) return [9, number(bytes.readBigInt64LE(at + 1))]
  throw new BadRdb(`a listpack with the unknown byte ${first}`)
}

function number(value: number | bigint): Buffer {
  return Buffer.from(String(value))
}

function part(bytes: Buffer, from: number, length: number): Buffer {
  if (from + length > bytes.length) throw new BadRdb('a listpack that is cut short')
  return bytes.subarray(from, from + length)
}

/** Bytes that say an element's length again behind it. */
function backLength(length: number): number {
  if (length <= 127) return 1
  if (length < 16_383) return 2
  if (length < 2_097_151) return 3
  return length < 268_435_455 ? 4 : 5
}

/** The numbers of an intset. */
export function intset(bytes: Buffer): Buffer[] {
  const width = bytes.readUInt32LE(0)
  const count = bytes.readUInt32LE(4)
  if (![2, 4, 8].includes(width) || bytes.length !== 8 + width * count) throw new BadRdb('an intset that is damaged')
  return Array.from({ length: count }, (_, nr) => {
    const at = 8 + nr * width
    return number(width === 8 ? bytes.readBigInt64LE(at) : bytes.readIntLE(at, width))
  })
}
