import { createHash, type Hash, hash } from 'node:crypto'
import type { StorageBackend } from '../backends/storage-backend.ts'
import { EnvError, messageOf } from '../domain/errors.ts'
import { checkPackHead, chunkId, chunkLength, decodeFrameHead, type FrameHead, packHeadBytes } from '../domain/pack.ts'
import type { FramePlace, PackEntry, PackIndex } from '../domain/pack-index.ts'
import { decodeFrame } from './compression.ts'
import { freeMemory } from './free-memory.ts'
import { packName } from './object-names.ts'
import { readFooter } from './pack-footer.ts'

/** What was found wrong with a pack. `whole`: nothing in it counts; `frames`: only these do not, by their number in the pack index. */
export type PackDamage = { readonly whole: string | undefined; readonly frames: ReadonlyMap<number, string> }

export type InspectOptions = {
  /** Numbers of the frames to read, ascending; undefined: every byte of the pack, also against its name. */
  readonly frames: readonly number[] | undefined
  /** Else only head and footer. */
  readonly data: boolean
  readonly progress: (bytes: number) => void
  readonly signal: AbortSignal | undefined
}

type Inspection = InspectOptions & {
  readonly backend: StorageBackend
  readonly index: PackIndex
  readonly pack: PackEntry
}

/** Reads a pack or some frames of it in the order they lie, and compares them with all that names them: footer, heads, chunk ids. */
export async function inspectPack(
  backend: StorageBackend,
  index: PackIndex,
  pack: PackEntry,
  options: InspectOptions,
): Promise<PackDamage> {
  const inspection = { ...options, backend, index, pack }
  const size = pack.state === 'missing' ? undefined : (await backend.stat(packName(pack.id)))?.size
  if (size === undefined) return { whole: 'is missing', frames: new Map() }
  const outside = await reasonOf(() => inspectOutside(inspection, size))
  const digest = createHash('sha256')
  const frames = options.data ? await inspectFrames(inspection, digest) : new Map<number, string>()
  if (outside === undefined && frames.size === 0 && options.data && !options.frames) {
    const offset = footerOffset(inspection)
    digest.update(await backend.get(packName(pack.id), { offset, length: pack.bytes - offset }))
    if (digest.digest('hex') !== pack.id) return { whole: 'its bytes do not have the SHA-256 that names it', frames }
  }
  return { whole: outside, frames }
}

async function inspectOutside({ backend, pack }: Inspection, size: number): Promise<void> {
  const name = packName(pack.id)
  checkPackHead(await backend.get(name, { offset: 0, length: packHeadBytes }))
  const directory = await readFooter(backend, name, size)
  if (hash('sha256', directory) !== pack.digest) {
    throw new EnvError('damaged', 'a pack has another footer than the index says')
  }
}

async function inspectFrames(inspection: Inspection, digest: Hash): Promise<Map<number, string>> {
  const { backend, pack } = inspection
  const bad = new Map<number, string>()
  const wanted = inspection.frames ?? Array.from({ length: pack.frames }, (_, i) => pack.firstFrame + i)
  if (!inspection.frames) {
    const head = await backend
      .get(packName(pack.id), { offset: 0, length: packHeadBytes })
      .catch(() => new Uint8Array(0))
    digest.update(head)
  }
  for (const number of wanted) {
    inspection.signal?.throwIfAborted()
    const reason = await reasonOf(() => inspectFrame(inspection, number, digest))
    if (reason !== undefined) bad.set(number, reason)
    inspection.progress(inspection.index.frame(number).storedBytes)
  }
  return bad
}

async function inspectFrame({ backend, index, pack }: Inspection, number: number, digest: Hash): Promise<void> {
  const frame = index.frame(number)
  const range = { offset: frame.offset, length: frame.headBytes + frame.storedBytes }
  const bytes = await backend.get(packName(pack.id), range)
  if (bytes.length !== range.length) throw new EnvError('damaged', 'a read gave another length than was asked for')
  digest.update(bytes)
  const head = decodeFrameHead(bytes, 0)
  if (head.method !== frame.method || head.plainBytes !== frame.plainBytes || head.chunks !== frame.chunks) {
    throw new EnvError('damaged', 'a frame has another head than the footer says')
  }
  const plain = await decodeFrame(frame.method, bytes.subarray(frame.headBytes), frame.plainBytes)
  checkChunks(index, frame, head, plain)
  if (plain.buffer !== bytes.buffer) freeMemory(plain)
  freeMemory(bytes)
}

function checkChunks(index: PackIndex, frame: FramePlace, head: FrameHead, plain: Uint8Array): void {
  let offset = 0
  for (let i = 0; i < head.chunks; i++) {
    const id = Buffer.from(chunkId(head, i)).toString('hex')
    const length = chunkLength(head, i)
    if (index.id(frame.firstEntry + i) !== id)
      throw new EnvError('damaged', 'a frame has another head than the footer says')
    if (hash('sha256', plain.subarray(offset, offset + length)) !== id) {
      throw new EnvError('damaged', `the chunk ${id} does not have the SHA-256 that names it`)
    }
    offset += length
  }
}

/** Where the footer begins: right after the last frame. */
function footerOffset({ index, pack }: Inspection): number {
  const last = index.frame(pack.firstFrame + pack.frames - 1)
  return last.offset + last.headBytes + last.storedBytes
}

/** The message of the damage that `look` throws; undefined when it throws none. What is no damage is thrown on. */
async function reasonOf(look: () => Promise<void>): Promise<string | undefined> {
  try {
    await look()
    return undefined
  } catch (error) {
    if (error instanceof EnvError && (error.code === 'damaged' || error.code === 'not-found')) return messageOf(error)
    throw error
  }
}
