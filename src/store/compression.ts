import { promisify } from 'node:util'
import { constants, createZstdCompress, zstdDecompress } from 'node:zlib'
import { EnvError } from '../domain/errors.ts'
import { type FrameMethod, frameMethods } from '../domain/pack.ts'
import { freeMemory } from './free-memory.ts'

const decompress = promisify(zstdDecompress)

/** A frame is stored as it is when compression would save less than this share of it. */
const leastSaving = 0.03
const compressionLevel = 1
/** No frame is longer than 4 MiB, so no honest one needs a larger window; it bounds the memory that a hostile one can ask for. */
const maxWindowLog = 23

/** How long compressed frames were of late, as a share of their plain length; only a guess at the next. */
let expectedShare = 0.5

/** The frame compressed, on the thread pool, in pieces; undefined when that is not worth it. */
export async function compressFrame(plain: Uint8Array): Promise<readonly Uint8Array[] | undefined> {
  // A second output buffer costs a hop between threads, a needlessly long one memory:
  // so one that is a little longer than what frames like the last ones needed.
  const chunkSize = Math.ceil(Math.max(64, Math.min(1, expectedShare * 1.15) * plain.length))
  const pieces = await compressPieces(plain, chunkSize)
  const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
  expectedShare += (bytes / plain.length - expectedShare) / 4
  if (bytes <= plain.length * (1 - leastSaving)) return pieces
  for (const piece of pieces) freeMemory(piece)
  return undefined
}

/** As a stream, because the call for whole buffers copies the pieces together and leaves them to the garbage collector. */
function compressPieces(plain: Uint8Array, chunkSize: number): Promise<readonly Uint8Array[]> {
  const params = { [constants.ZSTD_c_compressionLevel]: compressionLevel, [constants.ZSTD_c_checksumFlag]: 0 }
  const stream = createZstdCompress({ chunkSize, params })
  const pieces: Uint8Array[] = []
  return new Promise((resolve, reject) => {
    stream.on('data', (piece: Uint8Array) => pieces.push(piece))
    stream.on('error', reject)
    stream.on('end', () => resolve(pieces))
    stream.end(plain)
  })
}

/** The plain bytes of a frame. Throws `damaged`; never allocates more than the frame says it holds. */
export async function decodeFrame(method: FrameMethod, stored: Uint8Array, plainBytes: number): Promise<Uint8Array> {
  if (method === frameMethods.raw) return stored
  let plain: Uint8Array
  try {
    const params = { [constants.ZSTD_d_windowLogMax]: maxWindowLog }
    plain = await decompress(stored, {
      // One byte more than it needs: a full buffer makes zlib allocate the next.
      chunkSize: Math.max(plainBytes + 1, 64),
      maxOutputLength: Math.max(plainBytes, 1),
      params,
    })
  } catch (cause) {
    throw new EnvError('damaged', 'a frame cannot be decompressed', { cause })
  }
  if (plain.length !== plainBytes) throw new EnvError('damaged', 'a frame does not have the length that it should')
  return plain
}

const sampleBlocks = 4
const sampleBlockBytes = 1024
/** Bits a byte. 4 KiB of random bytes show 7.95; text, rows and pages stay under 7. */
const randomEntropy = 7.8

const counts = new Uint16Array(256)
const sampleBytes = sampleBlocks * sampleBlockBytes
/** n · log2(n) */
const weights = Float64Array.from({ length: sampleBytes + 1 }, (_, n) => (n === 0 ? 0 : n * Math.log2(n)))

/** A cheap guess, from four samples, that compression will save nothing (compressed images, archives, ciphertext). */
export function looksRandom(bytes: Uint8Array): boolean {
  if (bytes.length < sampleBytes) return false
  counts.fill(0)
  const stride = Math.floor((bytes.length - sampleBlockBytes) / (sampleBlocks - 1))
  for (let block = 0; block < sampleBlocks; block++) {
    const from = block * stride
    for (let i = from; i < from + sampleBlockBytes; i++) counts[bytes[i]!]!++
  }
  let sum = 0
  for (let i = 0; i < 256; i++) sum += weights[counts[i]!]!
  return Math.log2(sampleBytes) - sum / sampleBytes > randomEntropy
}
