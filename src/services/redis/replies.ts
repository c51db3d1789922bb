/** What a server answers (RESP 2): bulk strings as bytes, nothing as null, an error as a value. */
export type Reply = Buffer | string | number | null | RefusedReply | Reply[]

/** An error that the server answered; `code` is its first word. */
export class RefusedReply extends Error {
  readonly code: string

  constructor(text: string) {
    super(text)
    this.code = /^[A-Z]+/.exec(text)?.[0] ?? 'ERR'
  }

  /** The user may not do this, or the server does not know it. */
  get isDenied(): boolean {
    return this.code === 'NOPERM' || /unknown (sub)?command|not allowed|disabled/i.test(this.message)
  }
}

const incomplete = Symbol('incomplete')

/** Cuts a stream of bytes into replies. */
export class ReplyReader {
  #parts: Buffer[] = []
  #held = 0
  /** So many bytes are needed before another try is worth it. */
  #needed = 0
  #buffer: Buffer = Buffer.alloc(0)
  #at = 0

  read(part: Buffer): Reply[] {
    this.#parts.push(part)
    this.#held += part.length
    if (this.#held < this.#needed) return []
    this.#buffer = this.rest()
    const replies: Reply[] = []
    this.#at = 0
    let done = 0
    for (this.#needed = 0; done < this.#buffer.length; ) {
      const reply = this.#reply()
      if (reply === incomplete) break
      replies.push(reply)
      done = this.#at
    }
    const left = this.#buffer.subarray(done)
    this.#needed = Math.max(0, this.#needed - done)
    this.#parts = left.length > 0 ? [left] : []
    this.#held = left.length
    return replies
  }

  /** What was not cut into replies; it is forgotten here. */
  rest(): Buffer {
    const rest = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)
    this.#parts = []
    this.#held = 0
    return rest
  }

  #reply(): Reply | typeof incomplete {
    const buffer = this.#buffer
    const end = buffer.indexOf(0x0d, this.#at)
    if (end < 0 || end + 1 >= buffer.length) return incomplete
    const kind = buffer[this.#at]
    const from = this.#at + 1
    this.#at = end + 2
    if (kind === 0x2b) return buffer.toString('utf8', from, end)
    if (kind === 0x2d) return new RefusedReply(buffer.toString('utf8', from, end))
    const length = Number(buffer.toString('latin1', from, end))
    if (kind === 0x3a) return length
    if ((kind !== 0x24 && kind !== 0x2a) || !Number.isInteger(length))
      throw new Error('the server does not answer as Redis does')
    if (length < 0) return null
    if (kind === 0x24) {
      const start = this.#at
      this.#at += length + 2
      if (this.#at <= buffer.length) return buffer.subarray(start, start + length)
      this.#needed = this.#at
      return incomplete
    }
    const list: Reply[] = []
    for (let nr = 0; nr < length; nr++) {
      const reply = this.#reply()
      if (reply === incomplete) return incomplete
      list.push(reply)
    }
    return list
  }
}
