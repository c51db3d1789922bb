/** Thrown where the bytes end too early: more of them may help. */
export class NeedMore extends Error {}

/** Thrown where bytes are not what an RDB holds. */
export class BadRdb extends Error {}

/** Reads the elements of an RDB: lengths and strings. */
export class RdbBytes {
  buffer: Buffer
  at = 0

  constructor(buffer: Buffer) {
    this.buffer = buffer
  }

  take(length: number): Buffer {
    const from = this.at
    if (from + length > this.buffer.length) throw new NeedMore()
    this.at += length
    return this.buffer.subarray(from, this.at)
  }

  byte(): number {
    if (this.at >= this.buffer.length) throw new NeedMore()
    return this.buffer[this.at++]!
  }

  length(): number {
    const [value, isEncoded] = this.#lengthOrEncoding()
    if (isEncoded) throw new BadRdb('a length that is none')
    return value
  }

  /** A string, whatever way it was written in: as text, as a number, or compressed. */
  string(): Buffer {
    const [value, isEncoded] = this.#lengthOrEncoding()
    if (!isEncoded) return this.take(value)
    if (value === 0) return Buffer.from(String(this.take(1).readInt8()))
    if (value === 1) return Buffer.from(String(this.take(2).readInt16LE()))
    if (value === 2) return Buffer.from(String(this.take(4).readInt32LE()))
    if (value !== 3) throw new BadRdb(`a string of the unknown encoding ${value}`)
    const compressed = this.length()
    const plain = this.length()
    return decompress(this.take(compressed), plain)
  }

  #lengthOrEncoding(): [number, boolean] {
    const first = this.byte()
    const kind = first >> 6
    if (kind === 0) return [first & 0x3f, false]
    if (kind === 1) return [((first & 0x3f) << 8) | this.byte(), false]
    if (kind === 3) return [first & 0x3f, true]
    if (first === 0x80) return [this.take(4).readUInt32BE(), false]
    if (first === 0x81) return [Number(this.take(8).readBigUInt64BE()), false]
    throw new BadRdb(`a length that begins with ${first}`)
  }
}

/** LZF. */
function decompress(from: Buffer, length: number): Buffer {
  const into = Buffer.allocUnsafe(length)
  let at = 0
  for (let i = 0; i < from.length; ) {
    const control = from[i++]!
    if (control < 32) {
      from.copy(into, at, i, i + control + 1)
      i += control + 1
      at += control + 1
      continue
    }
    let count = control >> 5
    if (count === 7) count += from[i++]!
    let source = at - ((control & 0x1f) << 8) - from[i++]! - 1
    if (source < 0 || at + count + 2 > length) throw new BadRdb('a compressed string that is damaged')
    for (let n = 0; n < count + 2; n++) into[at++] = into[source++]!
  }
  if (at !== length) throw new BadRdb('a compressed string that is damaged')
  return into
}

/** A buffer that grows, in the form of an RDB. */
export class RdbWriter {
  #buffer = Buffer.allocUnsafe(1 << 16)
  #at = 0

  clear(): void {
    this.#at = 0
    // One large value must not be paid for ever.
    if (this.#buffer.length > 1 << 26) this.#buffer = Buffer.allocUnsafe(1 << 16)
  }

  /** Good until the next write. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#at)
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#buffer.set(bytes, this.#at)
    this.#at += bytes.length
  }

  double(value: number): void {
    this.#room(8)
    this.#at = this.#buffer.writeDoubleLE(value, this.#at)
  }

  string(bytes: Uint8Array): void {
    this.length(bytes.length)
    this.raw(bytes)
  }

  length(value: number): void {
    this.#room(9)
    if (value < 1 << 6) this.#at = this.#buffer.writeUInt8(value, this.#at)
    else if (value < 1 << 14) this.#at = this.#buffer.writeUInt16BE(value | 0x4000, this.#at)
    else if (value < 2 ** 32) {
      this.#at = this.#buffer.writeUInt8(0x80, this.#at)
      this.#at = this.#buffer.writeUInt32BE(value, this.#at)
    } else {
      this.#at = this.#buffer.writeUInt8(0x81, this.#at)
      this.#at = this.#buffer.writeBigUInt64BE(BigInt(value), this.#at)
    }
  }

  #room(length: number): void {
    if (this.#at + length <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + length))
    this.#buffer.copy(larger, 0, 0, this.#at)
    this.#buffer = larger
  }
}
