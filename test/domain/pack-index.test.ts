import { createHash, hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { IndexSection } from '../../src/domain/index-object.ts'
import { encodeFrameHead, frameMethods, packHeadBytes, packTailBytes } from '../../src/domain/pack.ts'
import { PackIndex } from '../../src/domain/pack-index.ts'

const idOf = (text: string) => createHash('sha256').update(text).digest()

/** A section of a pack whose frames hold chunks with the ids of these texts, each as long as its text. */
function sectionOf(pack: string, frames: readonly (readonly string[])[]): IndexSection {
  let stored = 0
  const heads = frames.map((texts) => {
    const table = Buffer.alloc(36 * texts.length)
    for (const [i, text] of texts.entries()) {
      table.writeUInt32LE(text.length, i * 36)
      idOf(text).copy(table, i * 36 + 4)
    }
    const plainBytes = texts.reduce((sum, text) => sum + text.length, 0)
    stored += plainBytes
    return encodeFrameHead({
      method: frameMethods.raw,
      chunks: texts.length,
      plainBytes,
      storedBytes: plainBytes,
      table,
    })
  })
  const directory = Buffer.concat(heads)
  const packBytes = packHeadBytes + directory.length * 2 + stored + packTailBytes
  return { pack: hash('sha256', pack), packBytes, directory }
}

const keep = { keep: false }

describe('a pack index', () => {
  it('says in which pack and frame a chunk lies, and where in it', () => {
    const index = new PackIndex()
    index.add(sectionOf('p', [['one', 'three'], ['seven!!']]), 'listed', keep)
    const entry = index.find(idOf('three'))
    expect(index.packOf(entry).id).toBe(hash('sha256', 'p'))
    expect(index.place(entry)).toEqual({ frame: 0, offset: 3, length: 5 })
    expect(index.id(entry)).toBe(idOf('three').toString('hex'))
    const frame = index.frame(index.place(index.find(idOf('seven!!'))).frame)
    expect(frame).toMatchObject({ offset: 12 + 16 + 72 + 8, plainBytes: 7, storedBytes: 7, chunks: 1, firstEntry: 2 })
    expect(index.find(idOf('two'))).toBe(-1)
  })

  it('tries the places of a chunk one after the other', () => {
    const index = new PackIndex()
    const packs = ['p', 'q', 'r'].map((pack) => index.add(sectionOf(pack, [['same', pack]]), 'listed', keep))
    const found = []
    for (let entry = index.find(idOf('same')); entry >= 0; entry = index.find(idOf('same'), { after: entry })) {
      found.push(index.packOf(entry))
    }
    expect(found).toEqual(packs)
  })

  it('leaves out packs that are missing unless asked for them, and replaced ones always', () => {
    const index = new PackIndex()
    index.add(sectionOf('p', [['same']]), 'missing', keep)
    expect(index.find(idOf('same'))).toBe(-1)
    expect(index.find(idOf('same'), { missing: true })).toBe(0)
    index.add(sectionOf('p', [['other']]), 'trusted', keep)
    expect(index.find(idOf('same'), { missing: true })).toBe(-1)
    expect(index.packOf(index.find(idOf('other'))).state).toBe('trusted')
  })

  it('changes nothing when a directory is damaged', () => {
    const index = new PackIndex()
    index.add(sectionOf('p', [['one']]), 'listed', keep)
    const bad = { ...sectionOf('p', [['two']]), packBytes: 5 }
    expect(() => index.add(bad, 'listed', keep)).toThrow('does not fit')
    expect(index.find(idOf('one'))).toBe(0)
    expect(index.entries).toBe(1)
  })

  it('holds a million chunks in less than 60 MB and finds each', () => {
    const before = process.memoryUsage().arrayBuffers
    const index = new PackIndex()
    const id = Buffer.alloc(32)
    const nth = (n: number) => {
      id.writeUInt32LE(Math.imul(n, 2654435761) >>> 0, 0)
      id.writeUInt32LE(n, 4)
      return id
    }
    const perFrame = 1000
    for (let pack = 0; pack < 100; pack++) {
      const heads = Array.from({ length: 10 }, (_, frame) => {
        const table = Buffer.alloc(36 * perFrame)
        for (let i = 0; i < perFrame; i++) {
          table.writeUInt32LE(1, i * 36)
          nth(pack * 10_000 + frame * perFrame + i).copy(table, i * 36 + 4)
        }
        const sizes = { chunks: perFrame, plainBytes: perFrame, storedBytes: perFrame }
        return encodeFrameHead({ method: frameMethods.raw, ...sizes, table })
      })
      const directory = Buffer.concat(heads)
      const packBytes = packHeadBytes + directory.length * 2 + 10 * perFrame + packTailBytes
      index.add({ pack: hash('sha256', String(pack)), packBytes, directory }, 'listed', keep)
    }
    const used = index.bytes
    expect(used).toBeLessThan(60e6)
    expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThan(used * 0.9)
    for (let n = 0; n < 1_000_000; n += 7) if (index.find(nth(n)) !== n) throw new Error(`chunk ${n} was not found`)
    expect(index.find(nth(1_000_000))).toBe(-1)
  })
})
