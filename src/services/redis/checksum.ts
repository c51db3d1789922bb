/** CRC-64 (Jones), as Redis has it at the end of RDB files and DUMP payloads; two 32-bit halves of it. */
const [high, low] = makeTables()

function makeTables(): [Uint32Array, Uint32Array] {
  const tables: [Uint32Array, Uint32Array] = [new Uint32Array(256), new Uint32Array(256)]
  // The polynomial 0xad93d23594c935a9, reflected.
  const polynomial = 0x95ac9329ac4bc9b5n
  for (let nr = 0; nr < 256; nr++) {
    let value = BigInt(nr)
    for (let bit = 0; bit < 8; bit++) value = value & 1n ? (value >> 1n) ^ polynomial : value >> 1n
    tables[0][nr] = Number(value >> 32n)
    tables[1][nr] = Number(value & 0xffff_ffffn)
  }
  return tables
}

export class Checksum {
  #high = 0
  #low = 0

  update(bytes: Uint8Array): this {
    let [h, l] = [this.#high, this.#low]
    for (let at = 0; at < bytes.length; at++) {
      const nr = (l ^ bytes[at]!) & 0xff
      l = ((l >>> 8) | (h << 24)) ^ low[nr]!
      h = (h >>> 8) ^ high[nr]!
    }
    this.#high = h
    this.#low = l
    return this
  }

  /** Eight bytes, little-endian. */
  write(into: Buffer, at: number): void {
    into.writeInt32LE(this.#low | 0, at)
    into.writeInt32LE(this.#high | 0, at + 4)
  }

  get bytes(): Buffer {
    const bytes = Buffer.alloc(8)
    this.write(bytes, 0)
    return bytes
  }
}
