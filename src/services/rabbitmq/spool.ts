import { createHash } from 'node:crypto'
import { closeSync, fsyncSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import path from 'node:path'
import { fileError } from '../../system/durable-file.ts'

/** More than this goes to a file. */
const memoryBytes = 1 << 20
const blockBytes = 1 << 20

/** Bytes that are gathered in memory, and in a file once they are many. What is read from it may be read again. */
export class Spool {
  bytes = 0
  readonly file: string
  readonly #sum = createHash('sha256')
  #parts: Buffer[] = []
  #pending = 0
  #descriptor: number | undefined

  constructor(file: string) {
    this.file = file
  }

  append(part: Buffer): void {
    this.#sum.update(part)
    this.#parts.push(part)
    this.#pending += part.length
    this.bytes += part.length
    if (this.#pending > memoryBytes) this.#flush()
  }

  sha256(): string {
    return this.#sum.copy().digest('hex')
  }

  *read(): Generator<Uint8Array> {
    if (this.#descriptor !== undefined) {
      const block = Buffer.allocUnsafe(blockBytes)
      for (let offset = 0; ; ) {
        const length = readSync(this.#descriptor, block, 0, blockBytes, offset)
        if (length === 0) break
        offset += length
        yield Uint8Array.from(block.subarray(0, length))
      }
    }
    yield* [...this.#parts]
  }

  /** Some bytes of it. */
  part(offset: number, length: number): Buffer {
    this.#flush()
    const bytes = Buffer.allocUnsafe(length)
    for (let got = 0; got < length; ) {
      const more = readSync(this.#descriptor!, bytes, got, length - got, offset + got)
      if (more === 0) throw new RangeError(`${this.file} ends before ${offset + length}`)
      got += more
    }
    return bytes
  }

  /** All of it in the file, durable. */
  sync(): void {
    this.#flush()
    fsyncSync(this.#descriptor!)
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
    this.#parts = []
  }

  #flush(): void {
    try {
      if (this.#descriptor === undefined) {
        mkdirSync(path.dirname(this.file), { recursive: true, mode: 0o700 })
        this.#descriptor = openSync(this.file, 'w+', 0o600)
      }
      let bytes: Buffer = Buffer.concat(this.#parts)
      while (bytes.length > 0) bytes = bytes.subarray(writeSync(this.#descriptor, bytes))
      this.#parts = []
      this.#pending = 0
    } catch (error) {
      throw fileError(error, this.file, 'keep messages')
    }
  }
}
