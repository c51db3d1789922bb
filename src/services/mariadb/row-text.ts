const blockBytes = 262_144

const tab = 9
const newline = 10
const backslash = 92
const upperN = 78

/** What stands for a byte after the backslash; 0 for a byte that stands for itself. */
const escapes = new Uint8Array(256)
escapes[0] = 48
escapes[tab] = 116
escapes[newline] = 110
escapes[backslash] = backslash

/**
 * Rows as they come in packets, made into lines of text: a tab between columns, a newline after each row, `\N` for NULL, and `\0`, `\t`, `\n`,
 * `\\` for these bytes. All other bytes stay what they are.
 */
export class RowText {
  /** Full blocks, to be taken away by who sends them on. */
  readonly blocks: Buffer[] = []
  rows = 0
  readonly #spare: Buffer[] = []
  #out: Buffer = Buffer.allocUnsafeSlow(blockBytes)
  #at = 0

  /** One row: its columns one after the other, each with its length in front. */
  add(packet: Buffer, start: number, end: number): void {
    this.rows++
    const most = 2 * (end - start) + 2
    if (this.#at + most > this.#out.length) this.#turn(most)
    const out = this.#out
    let at = this.#at
    let from = start
    while (from < end) {
      if (from > start) out[at++] = tab
      let length = packet[from++]!
      if (length === 251) {
        out[at++] = backslash
        out[at++] = upperN
        continue
      }
      if (length === 252) {
        length = packet.readUInt16LE(from)
        from += 2
      } else if (length === 253) {
        length = packet.readUIntLE(from, 3)
        from += 3
      } else if (length === 254) {
        length = Number(packet.readBigUInt64LE(from))
        from += 8
      }
      const stop = from + length
      while (from < stop) {
        // Four at a time, since most need no escape.
        for (const last = stop - 3; from < last; from += 4) {
          const a = packet[from]!
          const b = packet[from + 1]!
          const c = packet[from + 2]!
          const d = packet[from + 3]!
          if ((escapes[a]! | escapes[b]! | escapes[c]! | escapes[d]!) !== 0) break
          out[at] = a
          out[at + 1] = b
          out[at + 2] = c
          out[at + 3] = d
          at += 4
        }
        if (from === stop) break
        const byte = packet[from++]!
        const letter = escapes[byte]!
        if (letter !== 0) out[at++] = backslash
        out[at++] = letter === 0 ? byte : letter
      }
    }
    out[at++] = newline
    this.#at = at
  }

  /** What is left at the end. */
  rest(): Buffer {
    const rest = this.#out.subarray(0, this.#at)
    this.#out = Buffer.allocUnsafe(0)
    this.#at = 0
    return rest
  }

  /** A block that nobody reads any more is written again: many new ones would keep the garbage collector busy. */
  takeBack(block: Buffer): void {
    if (block.buffer.byteLength === blockBytes) this.#spare.push(Buffer.from(block.buffer))
  }

  #turn(most: number): void {
    if (this.#at > 0) this.blocks.push(this.#out.subarray(0, this.#at))
    const spare = most <= blockBytes ? this.#spare.pop() : undefined
    this.#out = spare ?? Buffer.allocUnsafeSlow(Math.max(blockBytes, most))
    this.#at = 0
  }
}
