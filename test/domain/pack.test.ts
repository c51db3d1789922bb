import { hash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeIndexObject, encodeIndexObject } from '../../src/domain/index-object.ts'
import {
  chunkId,
  chunkLength,
  decodeDirectory,
  decodeFrameHead,
  decodeTail,
  encodeFooter,
  encodeFrameHead,
  type FrameHead,
  frameMethods,
  maxFrameBytes,
  packHeadBytes,
  packTailBytes,
} from '../../src/domain/pack.ts'

type Chunk = { readonly length: number; readonly id: Uint8Array }

function headOf(chunks: readonly Chunk[], saved: number): FrameHead {
  const table = Buffer.concat(
    chunks.map(({ length, id }) => {
      const record = Buffer.alloc(36)
      record.writeUInt32LE(length)
      record.set(id, 4)
      return record
    }),
  )
  const plainBytes = chunks.reduce((sum, { length }) => sum + length, 0)
  const method = saved > 0 && saved <= plainBytes ? frameMethods.zstd : frameMethods.raw
  const storedBytes = method === frameMethods.zstd ? plainBytes - saved : plainBytes
  return { method, chunks: chunks.length, plainBytes, storedBytes, table }
}

const chunk = fc.record({
  length: fc.integer({ min: 1, max: 60_000 }),
  id: fc.uint8Array({ minLength: 32, maxLength: 32 }),
})
const frame = fc
  .tuple(fc.array(chunk, { minLength: 1, maxLength: 20 }), fc.integer({ min: 0, max: 500 }))
  .map(([chunks, saved]) => headOf(chunks, saved))

/** The directory of these frames and the length of the pack that holds them. */
function directoryOf(frames: readonly FrameHead[]) {
  const directory = Buffer.concat(frames.map(encodeFrameHead))
  const stored = frames.reduce((sum, { storedBytes }) => sum + storedBytes, 0)
  return { directory, packBytes: packHeadBytes + directory.length * 2 + stored + packTailBytes }
}

describe('a pack', () => {
  it('has a directory that decodes to the frames it was made of', () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 10 }), (frames) => {
        const { directory, packBytes } = directoryOf(frames)
        const decoded = decodeDirectory(directory, packBytes)
        expect(decoded.map(({ offset: _, ...head }) => ({ ...head, table: Buffer.from(head.table) }))).toEqual(frames)
        let offset = packHeadBytes
        for (const [i, head] of decoded.entries()) {
          expect(head.offset).toBe(offset)
          offset += 16 + head.table.length + frames[i]!.storedBytes
        }
        const footer = encodeFooter(directory, frames.length)
        const tail = decodeTail(footer.subarray(directory.length), packBytes)
        expect(tail).toEqual({
          directoryBytes: directory.length,
          frames: frames.length,
          digest: hash('sha256', directory),
        })
      }),
    )
  })

  it('tells the length and id of each chunk', () => {
    const id = Uint8Array.from({ length: 32 }, (_, i) => i)
    const head = decodeFrameHead(
      encodeFrameHead(
        headOf(
          [
            { length: 7, id },
            { length: 0x80000, id },
          ],
          0,
        ),
      ),
      0,
    )
    expect([chunkLength(head, 0), chunkLength(head, 1)]).toEqual([7, 0x80000])
    expect(Buffer.from(chunkId(head, 1))).toEqual(Buffer.from(id))
  })

  it('is refused when its directory does not fill it exactly', () => {
    const { directory, packBytes } = directoryOf([headOf([{ length: 100, id: Buffer.alloc(32) }], 0)])
    for (const bytes of [packBytes - 1, packBytes + 1, 0]) {
      expect(() => decodeDirectory(directory, bytes)).toThrow('does not fit')
    }
    expect(() => decodeDirectory(new Uint8Array(0), packHeadBytes + packTailBytes)).toThrow('does not fit')
    expect(() => decodeDirectory(directory.subarray(1), packBytes)).toThrow('a pack has')
  })

  it.each([
    ['an unknown method', 0, 2, 'unknown method 2'],
    ['no chunks', 4, 0, '0 chunks'],
    ['more chunks than a frame may have', 4, 4097, '4097 chunks'],
    ['more bytes than a frame may have', 8, maxFrameBytes + 1, `${maxFrameBytes + 1} bytes`],
    ['stored bytes that are not the plain ones', 12, 99, 'do not agree'],
    ['chunks that are not all of it', 16, 99, 'do not agree'],
    ['a chunk of four gigabytes', 16, 0xffffffff, 'do not agree'],
  ])('is refused when a frame head says %s', (_, offset, value, message) => {
    const bytes = encodeFrameHead(headOf([{ length: 100, id: Buffer.alloc(32) }], 0))
    bytes.writeUInt32LE(value, offset)
    expect(() => decodeFrameHead(bytes, 0)).toThrow(message)
  })

  it('is refused when it ends inside a frame head', () => {
    const bytes = encodeFrameHead(headOf([{ length: 100, id: Buffer.alloc(32) }], 0))
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeFrameHead(bytes.subarray(0, length), 0)).toThrow('ends inside a frame head')
    }
  })

  it('is refused when its footer says it is longer than the pack', () => {
    const footer = encodeFooter(Buffer.alloc(10), 1)
    expect(() => decodeTail(footer.subarray(10), 60)).toThrow('longer than itself')
    expect(() => decodeTail(Buffer.alloc(packTailBytes), 1000)).toThrow('has no footer')
  })
})

describe('an index object', () => {
  const sections = fc
    .uniqueArray(fc.tuple(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ maxLength: 300 })), {
      selector: ([pack]) => Buffer.from(pack).toString('hex'),
      maxLength: 8,
    })
    .map((all) =>
      all.map(([pack, directory]) => ({
        pack: Buffer.from(pack).toString('hex'),
        packBytes: 1000,
        directory: Buffer.from(directory),
      })),
    )

  it('decodes to the sections it was made of, ordered by pack', () => {
    fc.assert(
      fc.property(sections, (given) => {
        const bytes = encodeIndexObject(given)
        const decoded = decodeIndexObject(bytes, hash('sha256', bytes))
        expect(decoded).toEqual([...given].sort((a, b) => (a.pack < b.pack ? -1 : 1)))
        expect(encodeIndexObject([...given].reverse())).toEqual(bytes)
      }),
    )
  })

  it('is refused when any byte of it is another, and when it is cut short', () => {
    const bytes = encodeIndexObject([{ pack: 'ab'.repeat(32), packBytes: 1000, directory: Buffer.alloc(50, 1) }])
    const name = hash('sha256', bytes)
    for (let i = 0; i < bytes.length; i++) {
      const flipped = Buffer.from(bytes)
      flipped[i]! ^= 1
      expect(() => decodeIndexObject(flipped, name)).toThrow('SHA-256')
      const short = bytes.subarray(0, i)
      expect(() => decodeIndexObject(short, name)).toThrow('SHA-256')
      if (i !== 12) expect(() => decodeIndexObject(short, hash('sha256', short))).toThrow('an index object')
    }
  })

  it('is refused when its lengths cannot be', () => {
    for (const [packBytes, directory] of [
      [0xffffffff, 50],
      [40, 50],
    ] as const) {
      const bytes = encodeIndexObject([{ pack: 'ab'.repeat(32), packBytes, directory: Buffer.alloc(directory) }])
      expect(() => decodeIndexObject(bytes, hash('sha256', bytes))).toThrow('lengths that cannot be')
    }
  })
})
