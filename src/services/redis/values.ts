import { intset, listpack } from './packed.ts'
import { BadRdb, type RdbBytes, type RdbWriter } from './rdb-bytes.ts'

/** Types of values in an RDB that we write; every Redis and Valkey that we know reads the first five. */
const valueTypes = { string: 0, list: 1, set: 2, hash: 4, zset: 5 } as const

/** The lowest RDB version that knows a type; a payload says that it is of this version. */
const versions: Readonly<Record<number, number>> = {
  0: 9,
  1: 9,
  2: 9,
  4: 9,
  5: 9,
  7: 9,
  19: 10,
  21: 11,
  22: 80,
  24: 12,
  25: 12,
}

export function versionOfType(type: number): number {
  const version = versions[type]
  if (version === undefined) throw new BadRdb(`a value of the unknown type ${type}`)
  return version
}

/**
 * Reads one value and writes it in the one form that stands for it, whatever the server kept it in: strings plain, collections as lists of
 * their elements, sets and hashes sorted. Streams keep the blocks that they consist of. Gives the type written.
 */
export function copyValue(from: RdbBytes, type: number, version: number, into: RdbWriter): number {
  switch (type) {
    case 0:
      into.string(from.string())
      return valueTypes.string
    case 1:
      return write(into, valueTypes.list, strings(from, from.length()))
    case 2:
      return writeSorted(into, valueTypes.set, strings(from, from.length()), 1)
    case 11:
      return writeSorted(into, valueTypes.set, intset(from.string()), 1)
    case 20:
      return writeSorted(into, valueTypes.set, listpack(from.string()), 1)
    case 4:
      return writeSorted(into, valueTypes.hash, strings(from, 2 * from.length()), 2)
    case 16:
      return writeSorted(into, valueTypes.hash, listpack(from.string()), 2)
    case 18:
      return write(into, valueTypes.list, quicklist(from))
    case 5:
      return copySortedSet(from, into)
    case 17:
      return writeSortedSet(into, listpack(from.string()))
    case 19:
    case 21:
      copyStream(from, type, into)
      return type
    case 7:
      copySpan(from, into, () => {
        from.length()
        skipModuleParts(from)
      })
      return type
    case 22:
    case 24:
      return copyExpiringHash(from, type, version, into)
    case 25:
      into.raw(from.take(8))
      into.string(from.string())
      return type
    default:
      throw new BadRdb(`a value of the unknown type ${type}`)
  }
}

function strings(from: RdbBytes, count: number): Buffer[] {
  const all: Buffer[] = []
  for (let nr = 0; nr < count; nr++) all.push(from.string())
  return all
}

function quicklist(from: RdbBytes): Buffer[] {
  const all: Buffer[] = []
  for (let left = from.length(); left > 0; left--) {
    const container = from.length()
    const bytes = from.string()
    if (container === 1) all.push(bytes)
    else for (const element of listpack(bytes)) all.push(element)
  }
  return all
}

function write(into: RdbWriter, type: number, elements: readonly Buffer[]): number {
  into.length(elements.length)
  for (const element of elements) into.string(element)
  return type
}

/** Groups of `width` strings, sorted by the first. */
function writeSorted(into: RdbWriter, type: number, elements: readonly Buffer[], width: number): number {
  const order: number[] = []
  for (let at = 0; at < elements.length; at += width) order.push(at)
  order.sort((a, b) => Buffer.compare(elements[a]!, elements[b]!))
  into.length(order.length)
  for (const at of order) for (let nr = 0; nr < width; nr++) into.string(elements[at + nr]!)
  return type
}

/** As it is: the highest score first, which is the order of both Redis and of what loads fastest. */
function copySortedSet(from: RdbBytes, into: RdbWriter): number {
  const count = from.length()
  into.length(count)
  for (let nr = 0; nr < count; nr++) {
    into.string(from.string())
    into.raw(from.take(8))
  }
  return valueTypes.zset
}

function writeSortedSet(into: RdbWriter, elements: readonly Buffer[]): number {
  into.length(elements.length / 2)
  for (let at = elements.length - 2; at >= 0; at -= 2) {
    into.string(elements[at]!)
    into.double(score(elements[at + 1]!.toString('latin1')))
  }
  return valueTypes.zset
}

function score(text: string): number {
  if (/^[+-]?inf/.test(text)) return text.startsWith('-') ? -Infinity : Infinity
  const value = Number(text)
  if (text === '' || Number.isNaN(value)) throw new BadRdb('a score that is no number')
  return value
}

/** Hashes with fields that expire: Redis 7.4 (24) has the time before the field, Valkey 9 (22) after the value. */
function copyExpiringHash(from: RdbBytes, type: number, version: number, into: RdbWriter): number {
  const isValkey = type === 22
  if (isValkey !== version >= 80) throw new BadRdb(`a value of type ${type} in version ${version}`)
  if (!isValkey) into.raw(from.take(8))
  const count = from.length()
  const fields: { readonly field: Buffer; readonly value: Buffer; readonly time: number | Buffer }[] = []
  for (let nr = 0; nr < count; nr++) {
    const before = isValkey ? undefined : from.length()
    const field = from.string()
    const value = from.string()
    fields.push({ field, value, time: before ?? from.take(8) })
  }
  fields.sort((a, b) => Buffer.compare(a.field, b.field))
  into.length(count)
  for (const { field, value, time } of fields) {
    if (typeof time === 'number') into.length(time)
    into.string(field)
    into.string(value)
    if (typeof time !== 'number') into.raw(time)
  }
  return type
}

function copyStream(from: RdbBytes, type: number, into: RdbWriter): void {
  const blocks = from.length()
  into.length(blocks)
  for (let nr = 0; nr < blocks; nr++) {
    into.string(from.string())
    into.string(from.string())
  }
  copySpan(from, into, () => {
    // Length, last id, first id, highest deleted id, entries ever added.
    for (let nr = 0; nr < 8; nr++) from.length()
  })
  const groups = from.length()
  into.length(groups)
  for (let nr = 0; nr < groups; nr++) {
    into.string(from.string())
    copySpan(from, into, () => {
      for (let each = 0; each < 3; each++) from.length()
      for (let left = from.length(); left > 0; left--) {
        from.take(24)
        from.length()
      }
    })
    const consumers = from.length()
    into.length(consumers)
    for (let each = 0; each < consumers; each++) {
      into.string(from.string())
      copySpan(from, into, () => {
        from.take(type === 21 ? 16 : 8)
        from.take(16 * from.length())
      })
    }
  }
}

/** The parts of a module's value, each of which tells its kind. */
export function skipModuleParts(from: RdbBytes): void {
  for (let kind = from.length(); kind !== 0; kind = from.length()) {
    if (kind === 1 || kind === 2) from.length()
    else if (kind === 3) from.take(4)
    else if (kind === 4) from.take(8)
    else if (kind === 5) from.string()
    else throw new BadRdb(`a module's value with the unknown part ${kind}`)
  }
}

/** What is passed over is written as it is. */
function copySpan(from: RdbBytes, into: RdbWriter, pass: () => void): void {
  const start = from.at
  pass()
  into.raw(from.buffer.subarray(start, from.at))
}
