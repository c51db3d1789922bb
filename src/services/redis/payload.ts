import { Checksum } from './checksum.ts'
import { BadRdb, RdbBytes, RdbWriter } from './rdb-bytes.ts'
import type { KeyRecord } from './records.ts'
import { copyValue, versionOfType } from './values.ts'

const footerLength = 10

/** What RESTORE takes: the value as in an RDB, its version, a checksum of both. */
export function payloadOf({ type, value }: Pick<KeyRecord, 'type' | 'value'>): Buffer {
  const payload = Buffer.allocUnsafe(1 + value.length + footerLength)
  payload[0] = type
  payload.set(value, 1)
  return finish(payload, versionOfType(type))
}

function finish(payload: Buffer, version: number): Buffer {
  const end = payload.length - footerLength
  payload.writeUInt16LE(version, end)
  new Checksum().update(payload.subarray(0, end + 2)).write(payload, end + 2)
  return payload
}

const scratch = new RdbWriter()

/** What DUMP gave. The value is good until the next call. */
export function readPayload(payload: Buffer): Pick<KeyRecord, 'type' | 'value'> {
  const from = new RdbBytes(payload.subarray(0, payload.length - footerLength))
  scratch.clear()
  const type = copyValue(from, from.byte(), payloadVersion(payload), scratch)
  if (from.at !== from.buffer.length) throw new BadRdb('a value that is longer than it says')
  return { type, value: scratch.bytes }
}

/** The version of RDB that the server writes. */
export function payloadVersion(payload: Buffer): number {
  return payload.readUInt16LE(payload.length - footerLength)
}

const libraryCode = 245

/** What FUNCTION DUMP gave: the code of each library. */
export function readFunctionPayload(payload: Buffer): Buffer[] {
  const from = new RdbBytes(payload.subarray(0, payload.length - footerLength))
  const libraries: Buffer[] = []
  while (from.at < from.buffer.length) {
    if (from.byte() !== libraryCode) throw new BadRdb('functions in an unknown form')
    libraries.push(from.string())
  }
  return libraries
}

/** What FUNCTION RESTORE takes. */
export function functionPayload(libraries: readonly Buffer[]): Buffer {
  const writer = new RdbWriter()
  for (const code of libraries) {
    writer.raw(Buffer.of(libraryCode))
    writer.string(code)
  }
  return finish(Buffer.concat([writer.bytes, Buffer.alloc(footerLength)]), 10)
}
