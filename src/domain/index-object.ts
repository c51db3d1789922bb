import { createHash } from 'node:crypto'
import { EnvError } from './errors.ts'
import { maxPackBytes, packHeadBytes, packTailBytes } from './pack.ts'

/**
 * The bytes of an index object (docs/format.md): for some packs, their directories as they stand in their footers.
 * It is a cache: whatever is wrong with it, the packs themselves tell the same.
 */
const magic = Buffer.from('gitenvix', 'latin1')
const version = 1
const headBytes = 12
/** Pack id, pack length, directory length. */
const sectionHeadBytes = 40
export const maxIndexObjectBytes = 256 * 1024 * 1024

/** What an index object says of one pack. */
export type IndexSection = {
  /** SHA-256 of the pack, lower-case hex. */
  readonly pack: string
  readonly packBytes: number
  readonly directory: Uint8Array
}

export function encodeIndexObject(sections: readonly IndexSection[]): Buffer {
  const head = Buffer.alloc(headBytes)
  magic.copy(head)
  head.writeUInt32LE(version, 8)
  const parts: Uint8Array[] = [head]
  const ordered = [...sections].sort((a, b) => (a.pack < b.pack ? -1 : 1))
  for (const section of ordered) {
    const sectionHead = Buffer.alloc(sectionHeadBytes)
    sectionHead.write(section.pack, 'hex')
    sectionHead.writeUInt32LE(section.packBytes, 32)
    sectionHead.writeUInt32LE(section.directory.length, 36)
    parts.push(sectionHead, section.directory)
  }
  return Buffer.concat(parts)
}

/** Directories are views. Throws `damaged`. */
export function decodeIndexObject(object: Uint8Array, name: string): readonly IndexSection[] {
  const bytes = Buffer.from(object.buffer, object.byteOffset, object.byteLength)
  if (createHash('sha256').update(bytes).digest('hex') !== name)
    throw damaged('does not have the SHA-256 that names it')
  if (bytes.length < headBytes || !bytes.subarray(0, 8).equals(magic)) throw damaged('does not begin as one')
  if (bytes.readUInt32LE(8) !== version) throw damaged(`has the unknown version ${bytes.readUInt32LE(8)}`)
  const sections: IndexSection[] = []
  let at = headBytes
  while (at < bytes.length) {
    if (at + sectionHeadBytes > bytes.length) throw damaged('ends too early')
    const packBytes = bytes.readUInt32LE(at + 32)
    const directoryBytes = bytes.readUInt32LE(at + 36)
    const end = at + sectionHeadBytes + directoryBytes
    if (end > bytes.length) throw damaged('ends too early')
    if (packBytes > maxPackBytes || directoryBytes > packBytes - packHeadBytes - packTailBytes) {
      throw damaged('holds lengths that cannot be')
    }
    const directory = bytes.subarray(at + sectionHeadBytes, end)
    sections.push({ pack: bytes.toString('hex', at, at + 32), packBytes, directory })
    at = end
  }
  return sections
}

function damaged(what: string): EnvError {
  return new EnvError('damaged', `an index object ${what}`)
}
