import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { EnvError } from '../../domain/errors.ts'

export const headerBytes = 100
export const magic = 'SQLite format 3\0'

/** The fields of a database file's first 100 bytes that we use. Source: sqlite.org/fileformat2.html, section 1.3. */
export type FileHeader = {
  readonly pageSize: number
  /** Bytes of each page that hold data; the rest is reserved for extensions. */
  readonly usableBytes: number
  readonly wal: boolean
  /** Pages by the header; undefined where it is not valid (a version of SQLite before 3.7 wrote last). */
  readonly pages: number | undefined
}

/** Undefined when the bytes are no header of a database. */
export function parseHeader(header: Uint8Array): FileHeader | undefined {
  if (header.length < headerBytes) return undefined
  const bytes = Buffer.from(header.buffer, header.byteOffset, header.length)
  const pageSize = bytes.readUInt16BE(16) === 1 ? 65_536 : bytes.readUInt16BE(16)
  if (bytes.toString('latin1', 0, 16) !== magic || pageSize < 512 || (pageSize & (pageSize - 1)) !== 0) return undefined
  const [write = 0, read = 0] = bytes.subarray(18, 20)
  const usableBytes = pageSize - bytes.readUInt8(20)
  if (write > 2 || read > 2 || write < 1 || read < 1 || usableBytes < 480) return undefined
  const valid = bytes.readUInt32BE(24) === bytes.readUInt32BE(92) && bytes.readUInt32BE(28) > 0
  return { pageSize, usableBytes, wal: read === 2, pages: valid ? bytes.readUInt32BE(28) : undefined }
}

/** A database file at rest, read page by page: a copy that nobody writes, never the live file. */
export class PageFile {
  readonly header: FileHeader
  readonly pageCount: number
  readonly path: string
  readonly #fd: number

  constructor(path: string) {
    this.path = path
    this.#fd = openSync(path, 'r')
    try {
      const first = Buffer.alloc(headerBytes)
      const header = parseHeader(first.subarray(0, readSync(this.#fd, first, 0, headerBytes, 0)))
      if (!header) throw this.damaged('it has no header')
      this.header = header
      this.pageCount = Math.floor(fstatSync(this.#fd).size / header.pageSize)
    } catch (error) {
      closeSync(this.#fd)
      throw error
    }
  }

  /** Page `number`, counted from 1. */
  page(number: number, into: Buffer = Buffer.allocUnsafe(this.header.pageSize)): Buffer {
    if (number < 1 || number > this.pageCount) throw this.damaged(`page ${number} of ${this.pageCount}`)
    const size = this.header.pageSize
    if (readSync(this.#fd, into, 0, size, (number - 1) * size) !== size) throw this.damaged(`page ${number} is short`)
    return into
  }

  /** Reads from a byte offset as much as fits; gives how many bytes. */
  readAt(into: Buffer, offset: number): number {
    return readSync(this.#fd, into, 0, into.length, offset)
  }

  damaged(what: string): EnvError {
    return new EnvError('damaged', `${this.path} is no whole database: ${what}`)
  }

  close(): void {
    closeSync(this.#fd)
  }
}

/**
 * The numbers of the pages in which two copies differ; a page that only one of them has differs.
 * Undefined when the page sizes differ, and nothing can be said.
 */
export function changedPages(before: PageFile, after: PageFile): Set<number> | undefined {
  const size = before.header.pageSize
  if (size !== after.header.pageSize) return undefined
  const changed = new Set<number>()
  const run = Math.max(1, Math.floor(1_048_576 / size))
  const a = Buffer.allocUnsafe(run * size)
  const b = Buffer.allocUnsafe(run * size)
  const last = Math.max(before.pageCount, after.pageCount)
  for (let first = 1; first <= last; first += run) {
    const left = a.subarray(0, before.readAt(a, (first - 1) * size))
    const right = b.subarray(0, after.readAt(b, (first - 1) * size))
    if (left.equals(right)) continue
    for (let i = 0; i < run && first + i <= last; i++) {
      const from = i * size
      if (!left.subarray(from, from + size).equals(right.subarray(from, from + size))) changed.add(first + i)
    }
  }
  return changed
}
