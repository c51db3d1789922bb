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

/** Longer runs are copied by the system, shorter ones byte by byte. */
const longRun = 40

/**
 * Rows as they come in packets, made into lines of text: a tab between columns, a newline after each row, `\N` for NULL, and `\0`, `\t`, `\n`,
 * `\\` for these bytes. All other bytes stay what they are.
 */
export class RowText {
  /** Full blocks, to be taken away by who sends them on. */
  readonly blocks: Buffer[] = []
  rows = 0
  #out = Buffer.allocUnsafe(blockBytes)
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
      if (length < longRun) {
        for (; from < stop; from++) {
          const byte = packet[from]!
          if (byte > backslash) {
            out[at++] = byte
            continue
          }
          const letter = escapes[byte]!
          if (letter === 0) out[at++] = byte
          else {
            out[at++] = backslash
            out[at++] = letter
          }
        }
        continue
      }
      let run = from
      for (; from < stop; from++) {
        const byte = packet[from]!
        if (byte > backslash) continue
        const letter = escapes[byte]!
        if (letter === 0) continue
        at += copyRun(packet, out, at, run, from)
        out[at++] = backslash
        out[at++] = letter
        run = from + 1
      }
      at += copyRun(packet, out, at, run, stop)
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

  #turn(most: number): void {
    if (this.#at > 0) this.blocks.push(this.#out.subarray(0, this.#at))
    this.#out = Buffer.allocUnsafe(Math.max(blockBytes, most))
    this.#at = 0
  }
}

function copyRun(from: Buffer, to: Buffer, at: number, start: number, end: number): number {
  const length = end - start
  if (length > longRun) from.copy(to, at, start, end)
  else for (let i = 0; i < length; i++) to[at + i] = from[start + i]!
  return length
}
