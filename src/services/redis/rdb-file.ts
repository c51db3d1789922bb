import { EnvError } from '../../domain/errors.ts'
import { Checksum } from './checksum.ts'
import { printableKey } from './keys.ts'
import { BadRdb, NeedMore, RdbBytes, RdbWriter } from './rdb-bytes.ts'
import type { KeyRecord } from './records.ts'
import { copyValue, skipModuleParts } from './values.ts'

export type RdbVisitor = {
  /** Bytes are good until this returns. */
  key(index: number, record: KeyRecord): void
  library(code: Buffer): void
  /** How far it has been read. */
  progress(bytes: number): void
}

const firstNeed = 1 << 16

/** Reads an RDB as it comes, up to its end and not beyond, and checks the sum at its end. */
export async function readRdb(
  parts: AsyncIterator<Uint8Array>,
  visitor: RdbVisitor,
  name: string,
): Promise<{ readonly version: number }> {
  const reading = new Reading(visitor)
  const checksum = new Checksum()
  const { from } = reading
  for (let isOver = false; ; ) {
    const start = from.at
    try {
      if (reading.item()) break
    } catch (error) {
      if (error instanceof BadRdb) throw unreadable(name, error, reading)
      if (!(error instanceof NeedMore)) throw error
      if (isOver)
        throw new EnvError('unavailable', `${name}: the server stopped in the middle of its data`, {
          cause: error,
          hint: 'see the log of the server, then run the command again',
        })
      checksum.update(from.buffer.subarray(0, start))
      visitor.progress(start)
      const left = from.buffer.subarray(start)
      const more = [left]
      // Twice what was too little: a long value is not looked at again for each part of it.
      for (let held = left.length; held < Math.max(firstNeed, 2 * left.length); ) {
        const { value, done } = await parts.next()
        if (done) {
          isOver = true
          break
        }
        more.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength))
        held += value.length
      }
      from.buffer = Buffer.concat(more)
      from.at = 0
    }
  }
  checksum.update(from.buffer.subarray(0, from.at - 8))
  const wanted = from.buffer.subarray(from.at - 8, from.at)
  if (wanted.some((byte) => byte !== 0) && !wanted.equals(checksum.bytes)) {
    throw new EnvError('unavailable', `${name}: what the server sent does not match its checksum`, {
      hint: 'run the command again; if it stays so, look at the disk and the memory of the server',
    })
  }
  return { version: reading.version }
}

function unreadable(name: string, cause: Error, { lastKey }: Reading): EnvError {
  const where = lastKey === undefined ? '' : `, at the key ${printableKey(lastKey)}`
  return new EnvError('refused', `${name}: the server sends ${cause.message}${where}`, {
    cause,
    hint: 'this git-env does not know it; a newer one may',
  })
}

class Reading {
  readonly from = new RdbBytes(Buffer.alloc(0))
  readonly #visitor: RdbVisitor
  readonly #value = new RdbWriter()
  version = 0
  lastKey: Buffer | undefined
  #index = 0
  #expires = -1

  constructor(visitor: RdbVisitor) {
    this.#visitor = visitor
  }

  /** One thing more; true at the end. */
  item(): boolean {
    const { from } = this
    if (this.version === 0) {
      const head = from.take(9).toString('latin1')
      if (!/^(REDIS\d{4}|VALKEY\d{3})$/.test(head)) throw new BadRdb('something that is no RDB')
      this.version = Number(/\d+$/.exec(head)![0])
      return false
    }
    const kind = from.byte()
    switch (kind) {
      case 255:
        from.take(8)
        return true
      case 254:
        this.#index = from.length()
        return false
      case 253:
        this.#expires = from.take(4).readUInt32LE() * 1000
        return false
      case 252:
        this.#expires = Number(from.take(8).readBigInt64LE())
        return false
      case 251:
        from.length()
        from.length()
        return false
      case 250:
        from.string()
        from.string()
        return false
      // How often and when it was last used: not data.
      case 249:
        from.byte()
        return false
      case 248:
        from.length()
        return false
      case 247:
        // What a module keeps beside the keys: its id, and when it is read.
        for (let nr = 0; nr < 3; nr++) from.length()
        skipModuleParts(from)
        return false
      case 245:
        this.#visitor.library(from.string())
        return false
      case 244:
        for (let nr = 0; nr < 3; nr++) from.length()
        return false
      default:
        this.#key(kind)
        return false
    }
  }

  #key(kind: number): void {
    const { from } = this
    const key = from.string()
    this.lastKey = key
    this.#value.clear()
    const type = copyValue(from, kind, this.version, this.#value)
    this.#visitor.key(this.#index, { key, expires: this.#expires, type, value: this.#value.bytes })
    this.#expires = -1
  }
}
