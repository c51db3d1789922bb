import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { fileError } from '../../system/durable-file.ts'
import { diffRows } from './row-diff.ts'

const blockBytes = 1 << 20

export type WrittenFile = { readonly bytes: number; readonly sha256: string }

/** Writes bytes to a new file, durable when it resolves. */
export async function writeRows(file: string, bytes: AsyncIterable<Uint8Array>): Promise<WrittenFile> {
  const handle = await open(file, 'w', 0o600).catch((error: unknown) => {
    throw fileError(error, file, 'write rows')
  })
  const sum = createHash('sha256')
  let length = 0
  try {
    for await (const part of bytes) {
      sum.update(part)
      length += part.length
      await handle.writeFile(part)
    }
    await handle.sync()
    return { bytes: length, sha256: sum.digest('hex') }
  } catch (error) {
    throw fileError(error, file, 'write rows')
  } finally {
    await handle.close()
  }
}

export function readRows(file: string): AsyncIterable<Uint8Array> {
  return createReadStream(file, { highWaterMark: blockBytes })
}

export type WrittenDifference = { readonly removed: number; readonly added: number; readonly bytes: number }

/** What turns `before` into `after`, in two new files: rows to take away, rows to add. Durable when it resolves. */
export async function writeDifference(
  files: { readonly removed: string; readonly added: string },
  before: AsyncIterable<Uint8Array>,
  after: AsyncIterable<Uint8Array>,
): Promise<WrittenDifference> {
  const outputs = { 'only before': new LineFile(files.removed), 'only after': new LineFile(files.added) }
  try {
    for await (const { side, line } of diffRows(before, after)) await outputs[side].write(line)
    await outputs['only before'].finish()
    await outputs['only after'].finish()
  } catch (error) {
    throw fileError(error, files.removed, 'write rows')
  } finally {
    await Promise.all(Object.values(outputs).map((output) => output.close()))
  }
  const { 'only before': removed, 'only after': added } = outputs
  return { removed: removed.lines, added: added.lines, bytes: removed.bytes + added.bytes }
}

/** Lines are gathered to blocks before they are written. */
class LineFile {
  lines = 0
  bytes = 0
  readonly #handle: ReturnType<typeof open>
  #parts: Uint8Array[] = []
  #pending = 0

  constructor(file: string) {
    this.#handle = open(file, 'w', 0o600)
    this.#handle.catch(() => {})
  }

  async write(line: Uint8Array): Promise<void> {
    this.lines++
    this.bytes += line.length
    this.#pending += line.length
    this.#parts.push(line)
    if (this.#pending >= blockBytes) await this.#flush()
  }

  async finish(): Promise<void> {
    await this.#flush()
    await (await this.#handle).sync()
  }

  async close(): Promise<void> {
    const handle = await this.#handle.catch(() => undefined)
    await handle?.close()
  }

  async #flush(): Promise<void> {
    await (await this.#handle).writeFile(Buffer.concat(this.#parts))
    this.#parts = []
    this.#pending = 0
  }
}
