import { createHash, hash } from 'node:crypto'
import type { StorageBackend } from '../backends/storage-backend.ts'
import { EnvError } from '../domain/errors.ts'
import type { IndexSection } from '../domain/index-object.ts'
import {
  checkPackHead,
  decodeDirectory,
  decodeFrameHead,
  decodeTail,
  encodeFrameHead,
  headBytesOf,
  maxPackBytes,
  packHeadBytes,
  packTailBytes,
} from '../domain/pack.ts'
import { packName } from './object-names.ts'

/** Most directories fit into this, so that one read at the pack's end gets the whole footer. */
const firstReadBytes = 32 * 1024

/** The directory in a pack's footer, checked against its SHA-256 and the pack's length. Throws `damaged` or `not-found`. */
export async function readFooter(backend: StorageBackend, name: string, packBytes: number): Promise<Uint8Array> {
  if (packBytes > maxPackBytes || packBytes < packHeadBytes + packTailBytes) {
    throw new EnvError('damaged', `a pack of ${packBytes} bytes cannot be whole`)
  }
  const length = Math.min(packBytes, firstReadBytes)
  const end = await backend.get(name, { offset: packBytes - length, length })
  const tail = decodeTail(end.subarray(end.length - packTailBytes), packBytes)
  const footerBytes = tail.directoryBytes + packTailBytes
  const directory =
    footerBytes <= end.length
      ? end.subarray(end.length - footerBytes, end.length - packTailBytes)
      : await backend.get(name, { offset: packBytes - footerBytes, length: tail.directoryBytes })
  if (hash('sha256', directory) !== tail.digest) {
    throw new EnvError('damaged', 'a pack has a footer that does not have its SHA-256')
  }
  if (decodeDirectory(directory, packBytes).length !== tail.frames) {
    throw new EnvError('damaged', 'a pack has a footer with another number of frames than it says')
  }
  return directory
}

const hashedAtOnce = 1024 * 1024

/** Where an index object and a footer contradict each other, the pack's name decides. Throws `damaged` when the pack does not have the SHA-256 that names it. */
export async function checkName(backend: StorageBackend, pack: string, packBytes: number): Promise<void> {
  const digest = createHash('sha256')
  for (let offset = 0; offset < packBytes; offset += hashedAtOnce) {
    const length = Math.min(hashedAtOnce, packBytes - offset)
    digest.update(await backend.get(packName(pack), { offset, length }))
  }
  if (digest.digest('hex') !== pack) {
    throw new EnvError('damaged', 'a pack does not have the SHA-256 that names it')
  }
}

/** What a pack without a good footer still holds, by walking its frames from the start. undefined when there is not one. */
export async function salvagePack(
  backend: StorageBackend,
  name: string,
  pack: string,
): Promise<IndexSection | undefined> {
  const bytes = await backend.get(name)
  const heads: Uint8Array[] = []
  let offset = packHeadBytes
  try {
    checkPackHead(bytes)
    for (;;) {
      const head = decodeFrameHead(bytes, offset)
      const end = offset + headBytesOf(head.chunks) + head.storedBytes
      if (end > bytes.length) break
      heads.push(encodeFrameHead(head))
      offset = end
    }
  } catch (error) {
    if (!(error instanceof EnvError)) throw error
  }
  if (heads.length === 0) return undefined
  // The footer begins with what looks like a frame head too, but its "stored bytes" never end inside the pack by more than chance;
  // a frame that is not one is found out by its chunks' ids when it is read.
  const directory = Buffer.concat(heads)
  return { pack, packBytes: offset + directory.length + packTailBytes, directory }
}
