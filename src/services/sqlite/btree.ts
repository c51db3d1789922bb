import type { PageFile } from './page-file.ts'

/** Page types, the first byte of a b-tree page. Source: sqlite.org/fileformat2.html, section 1.6. */
const tableLeaf = 13
const tableInterior = 5
const indexLeaf = 10
const indexInterior = 2
const deepest = 40

type Frame = {
  readonly page: Buffer
  readonly number: number
  readonly type: number
  /** Offset of the page header: 100 on page 1. */
  readonly start: number
  readonly cells: number
  /** The next cell to take. Of an index's interior page each cell is taken twice: its child, then itself. */
  next: number
  childTaken: boolean
}

/**
 * Walks the rows of one b-tree in key order: of a table by rowid, of a table without rowid (an index b-tree) by primary key.
 * After `next()` gave true the fields tell of the row. Buffers are valid until the next call.
 */
export class RowCursor {
  /** 0 for a table without rowid. Beyond 2^53 a bigint. */
  rowid: number | bigint = 0
  /** The record's whole length. */
  payloadBytes = 0
  /** The part of the record that lies in the leaf page: all of it unless `overflow` is set. */
  local: Buffer = Buffer.alloc(0)
  /** First page of the rest of the record; 0 for none. */
  overflow = 0
  /** The cell as it lies in the page up to the end of `local`, with both varints before the record. */
  cell: Buffer = Buffer.alloc(0)
  readonly #file: PageFile
  readonly #stack: Frame[] = []
  /** One page buffer for each depth, and the last for overflow pages: a walk makes no garbage. */
  readonly #buffers: Buffer[] = []
  readonly #visit: (page: number) => void
  #varint = 0
  #varintEnd = 0

  constructor(file: PageFile, root: number, visit: (page: number) => void = () => {}) {
    this.#file = file
    this.#visit = visit
    this.#descend(root)
  }

  next(): boolean {
    for (;;) {
      const frame = this.#stack.at(-1)
      if (!frame) return false
      const leaf = frame.type === tableLeaf || frame.type === indexLeaf
      if (frame.next > frame.cells || (leaf && frame.next === frame.cells)) {
        this.#stack.pop()
      } else if (leaf) {
        this.#readCell(frame, this.#cellOffset(frame, frame.next++))
        return true
      } else if (!frame.childTaken) {
        frame.childTaken = frame.type === indexInterior && frame.next < frame.cells
        const child = this.#childOf(frame)
        if (!frame.childTaken) frame.next++
        this.#descend(child)
      } else {
        frame.childTaken = false
        this.#readCell(frame, this.#cellOffset(frame, frame.next++) + 4)
        return true
      }
    }
  }

  /** The bytes of the record after `local`, piece by piece; each is valid until the next. */
  *overflowParts(): Generator<Buffer> {
    const size = this.#file.header.usableBytes - 4
    let left = this.payloadBytes - this.local.length
    let number = this.overflow
    while (left > 0) {
      this.#visit(number)
      const page = this.#file.page(number, this.#buffer(deepest))
      yield page.subarray(4, 4 + Math.min(size, left))
      left -= size
      number = page.readUInt32BE(0)
    }
  }

  /** The whole record in one piece. */
  record(): Buffer {
    if (this.overflow === 0) return this.local
    return Buffer.concat([this.local, ...this.overflowParts().map((part) => Buffer.from(part))])
  }

  #buffer(depth: number): Buffer {
    this.#buffers[depth] ??= Buffer.allocUnsafe(this.#file.header.pageSize)
    return this.#buffers[depth]
  }

  #descend(number: number): void {
    if (this.#stack.length >= deepest) throw this.#file.damaged(`page ${number} lies too deep`)
    this.#visit(number)
    const page = this.#file.page(number, this.#buffer(this.#stack.length))
    const start = number === 1 ? 100 : 0
    const type = page[start]!
    const parent = this.#stack.at(-1)
    const fits =
      parent === undefined
        ? [tableLeaf, tableInterior, indexLeaf, indexInterior].includes(type)
        : parent.type === tableInterior
          ? type === tableLeaf || type === tableInterior
          : type === indexLeaf || type === indexInterior
    if (!fits) throw this.#file.damaged(`page ${number} is of type ${type}`)
    this.#stack.push({ page, number, type, start, cells: page.readUInt16BE(start + 3), next: 0, childTaken: false })
  }

  #childOf(frame: Frame): number {
    if (frame.next === frame.cells) return frame.page.readUInt32BE(frame.start + 8)
    return frame.page.readUInt32BE(this.#cellOffset(frame, frame.next))
  }

  #cellOffset(frame: Frame, index: number): number {
    const leaf = frame.type === tableLeaf || frame.type === indexLeaf
    const pointer = frame.start + (leaf ? 8 : 12) + 2 * index
    const offset = pointer + 2 <= frame.page.length ? frame.page.readUInt16BE(pointer) : frame.page.length
    if (offset + 4 > frame.page.length) throw this.#file.damaged(`page ${frame.number} points outside of itself`)
    return offset
  }

  #readCell(frame: Frame, offset: number): void {
    const { page, type } = frame
    this.#readVarint(page, offset)
    this.payloadBytes = this.#varint
    let at = this.#varintEnd
    if (type === tableLeaf) {
      this.rowid = readRowid(page, at)
      at = skipVarint(page, at)
    }
    const localBytes = localPayload(this.payloadBytes, this.#file.header.usableBytes, type === tableLeaf)
    const end = at + localBytes
    if (end + (localBytes < this.payloadBytes ? 4 : 0) > page.length) {
      throw this.#file.damaged(`a row of page ${frame.number} is cut`)
    }
    this.overflow = localBytes < this.payloadBytes ? page.readUInt32BE(end) : 0
    this.local = page.subarray(at, end)
    this.cell = page.subarray(offset, end)
  }

  #readVarint(page: Buffer, offset: number): void {
    let value = page[offset]!
    let at = offset + 1
    if (value >= 0x80) {
      value &= 0x7f
      for (let i = 1; i < 9; i++) {
        const byte = page[at++]!
        value = i === 8 ? value * 256 + byte : value * 128 + (byte & 0x7f)
        if (byte < 0x80) break
      }
    }
    this.#varint = value
    this.#varintEnd = at
  }
}

/** How much of a record lies in its b-tree page. Source: sqlite.org/fileformat2.html, section 1.6, "cell payload". */
function localPayload(bytes: number, usable: number, table: boolean): number {
  const most = table ? usable - 35 : Math.floor(((usable - 12) * 64) / 255) - 23
  if (bytes <= most) return bytes
  const least = Math.floor(((usable - 12) * 32) / 255) - 23
  const wanted = least + ((bytes - least) % (usable - 4))
  return wanted <= most ? wanted : least
}

export function skipVarint(bytes: Buffer, offset: number): number {
  for (let i = 0; i < 8; i++) if (bytes[offset + i]! < 0x80) return offset + i + 1
  return offset + 9
}

/** A varint of a record's header, which is small. */
export function smallVarint(bytes: Buffer, offset: number): number {
  let value = 0
  for (let i = 0; i < 8; i++) {
    const byte = bytes[offset + i]!
    value = value * 128 + (byte & 0x7f)
    if (byte < 0x80) return value
  }
  return value * 256 + bytes[offset + 8]!
}

function readRowid(page: Buffer, offset: number): number | bigint {
  const end = skipVarint(page, offset)
  if (end - offset < 8) return smallVarint(page, offset)
  let value = 0n
  for (let i = offset; i < end; i++) {
    value = i - offset === 8 ? (value << 8n) | BigInt(page[i]!) : (value << 7n) | BigInt(page[i]! & 0x7f)
  }
  const signed = BigInt.asIntN(64, value)
  return signed >= BigInt(Number.MIN_SAFE_INTEGER) && signed <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(signed)
    : signed
}
