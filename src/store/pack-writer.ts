import { createHash } from 'node:crypto'
import type { StorageBackend } from '../backends/storage-backend.ts'
import { EnvError } from '../domain/errors.ts'
import type { IndexSection } from '../domain/index-object.ts'
import { encodeFooter, packHead, packHeadBytes, packTailBytes, packTargetBytes } from '../domain/pack.ts'
import type { Trace } from '../system/trace.ts'
import { freeMemory } from './free-memory.ts'
import { packName, short } from './object-names.ts'

const readBackBytes = 4 * 1024 * 1024

export type PackWriterOptions = {
  readonly backend: StorageBackend
  readonly trace: Trace
  /** Told of each pack once it is in the store and was read back. */
  readonly landed: (section: IndexSection) => Promise<void>
}

/**
 * Fills packs and puts them into the store, reading each back. One pack is filled while the one before it is being written,
 * so at most two buffers of a pack's size exist.
 */
export class PackWriter {
  readonly #options: PackWriterOptions
  #buffer: Buffer | undefined
  readonly #spares: Buffer[] = []
  #used = 0
  #heads: Uint8Array[] = []
  #headBytes = 0
  #writing: Promise<void> = Promise.resolve()
  #turn: Promise<void> = Promise.resolve()
  storedBytes = 0

  constructor(options: PackWriterOptions) {
    this.#options = options
  }

  /** Copies one encoded frame into the pack; waits while the pack before has to be written first. Frames keep the order of the calls. */
  append(head: Uint8Array, stored: readonly Uint8Array[]): Promise<void> {
    return this.#inTurn(() => this.#append(head, stored))
  }

  /** Puts what is gathered into the store, and waits until all packs are there. */
  async flush(): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#heads.length > 0) await this.#seal()
    })
    await this.#writing
  }

  /**
   * Forgets the pack that is being filled, waits for one that is being written, and gives the memory of both back: while a child process
   * starts, it has all of it a second time.
   */
  async drop(): Promise<void> {
    await this.#turn
    this.#heads = []
    await this.#writing.catch(() => {})
    if (this.#buffer) freeMemory(this.#buffer)
    this.#buffer = undefined
    for (const buffer of this.#spares.splice(0)) freeMemory(buffer)
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #append(head: Uint8Array, stored: readonly Uint8Array[]): Promise<void> {
    const storedBytes = stored.reduce((sum, piece) => sum + piece.length, 0)
    const footerBytes = this.#headBytes + head.length + packTailBytes
    if (this.#heads.length > 0 && this.#used + head.length + storedBytes + footerBytes > packTargetBytes) {
      await this.#seal()
    }
    if (!this.#buffer) {
      this.#buffer = this.#spares.pop() ?? Buffer.allocUnsafeSlow(packTargetBytes)
      this.#buffer.set(packHead())
      this.#used = packHeadBytes
    }
    this.#buffer.set(head, this.#used)
    this.#used += head.length
    for (const piece of stored) {
      this.#buffer.set(piece, this.#used)
      this.#used += piece.length
    }
    this.#heads.push(head)
    this.#headBytes += head.length
    this.storedBytes += head.length * 2 + storedBytes
  }

  /** Ends the pack and begins to write it, once the one before is written. */
  async #seal(): Promise<void> {
    const directory = Buffer.concat(this.#heads)
    const footer = encodeFooter(directory, this.#heads.length)
    const buffer = this.#buffer!
    buffer.set(footer, this.#used)
    const bytes = buffer.subarray(0, this.#used + footer.length)
    this.storedBytes += packHeadBytes + packTailBytes
    this.#buffer = undefined
    this.#heads = []
    this.#headBytes = 0
    await this.#writing
    this.#writing = this.#write(bytes, directory).then(() => {
      this.#spares.push(buffer)
    })
    this.#writing.catch(() => {}) // whoever waits for it next gets the error
  }

  async #write(bytes: Buffer, directory: Uint8Array): Promise<void> {
    const id = createHash('sha256').update(bytes).digest('hex')
    const { backend, trace, landed } = this.#options
    await putReadBack(backend, packName(id), bytes)
    trace(`store: pack ${short(id)} written`)
    await landed({ pack: id, packBytes: bytes.length, directory })
  }
}

/** Puts an object that its SHA-256 names, and compares what the store then gives with what was meant. */
export async function putReadBack(backend: StorageBackend, name: string, bytes: Uint8Array): Promise<void> {
  const result = await backend.put(name, [bytes])
  if (await isStored(backend, name, bytes)) return
  if (result === 'exists') {
    // What stands there does not have the SHA-256 that names it, so nothing can be lost by writing it again.
    await backend.delete(name)
    await backend.put(name, [bytes])
    if (await isStored(backend, name, bytes)) return
  }
  await backend.delete(name)
  throw new EnvError('unavailable', `${name} in ${backend.location} reads back other than it was written`, {
    hint: 'the disk or the connection to it has a fault: look at the system log',
  })
}

/** Compares what the store gives with what was meant, in pieces, through one buffer. */
async function isStored(backend: StorageBackend, name: string, bytes: Uint8Array): Promise<boolean> {
  if ((await backend.stat(name))?.size !== bytes.length) return false
  const buffer = Buffer.allocUnsafeSlow(Math.min(bytes.length, readBackBytes))
  for (let offset = 0; offset < bytes.length; offset += readBackBytes) {
    const wanted = bytes.subarray(offset, offset + readBackBytes)
    const there = await backend.get(name, { offset, length: wanted.length }, buffer)
    if (Buffer.compare(there, wanted) !== 0) return false
    if (there.buffer !== buffer.buffer) freeMemory(there)
  }
  freeMemory(buffer)
  return true
}
