import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Chunker, chunkSizes, gearSeed } from '../../src/domain/chunker.ts'
import type { ChunkProfile } from '../../src/domain/content.ts'
import { noise, rows } from '../support/store-samples.ts'

/** Lengths of the chunks of `bytes`, handed over in parts that end at `splits`. */
function lengths(profile: ChunkProfile, bytes: Uint8Array, splits: readonly number[] = []): readonly number[] {
  const chunker = new Chunker(chunkSizes[profile])
  const ends = [...splits, bytes.length].sort((a, b) => a - b)
  const found: number[] = []
  let begin = 0
  let chunkBegin = 0
  for (const end of ends) {
    const part = bytes.subarray(begin, end)
    for (let at = 0; at < part.length; ) {
      const cut = chunker.next(part, at)
      if (cut < 0) break
      found.push(begin + cut - chunkBegin)
      chunkBegin = begin + cut
      at = cut
    }
    begin = end
  }
  if (chunkBegin < bytes.length) found.push(bytes.length - chunkBegin)
  return found
}

const profiles = ['rows', 'binary', 'pages', 'listing'] as const
const random = noise(12_000_000, 7)
const text = rows(3_000_000)

describe('a chunker', () => {
  it.each(profiles)('covers every byte of %s once', (profile) => {
    for (const bytes of [random, text]) {
      expect(lengths(profile, bytes).reduce((sum, length) => sum + length, 0)).toBe(bytes.length)
    }
  })

  it('cuts at the same places however the bytes were split', () => {
    const whole = lengths('rows', random.subarray(0, 1_000_000))
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1_000_000 }), { maxLength: 40 }), (splits) => {
        expect(lengths('rows', random.subarray(0, 1_000_000), splits)).toEqual(whole)
      }),
      { numRuns: 100 },
    )
  })

  it('cuts at the same places when the bytes come one by one', () => {
    const bytes = text.subarray(0, 200_000)
    const splits = Array.from({ length: bytes.length }, (_, i) => i)
    expect(lengths('rows', bytes, splits)).toEqual(lengths('rows', bytes))
  })

  it.each(profiles)('keeps chunks of %s within the limits', (profile) => {
    const { min, max } = chunkSizes[profile]
    for (const bytes of [random, text, Buffer.alloc(9_000_000)]) {
      const found = lengths(profile, bytes)
      expect(Math.max(...found)).toBeLessThanOrEqual(max)
      expect(Math.min(...found.slice(0, -1))).toBeGreaterThanOrEqual(min)
    }
  })

  it('makes chunks of about the average size', () => {
    for (const profile of ['rows', 'binary'] as const) {
      const mean = random.length / lengths(profile, random).length
      expect(mean).toBeGreaterThan(chunkSizes[profile].average * 0.7)
      expect(mean).toBeLessThan(chunkSizes[profile].average * 1.6)
    }
  })

  it('finds the same chunks again after bytes were put in, taken out or changed', () => {
    const ids = (bytes: Uint8Array) => {
      let at = 0
      return lengths('rows', bytes).map((length) => {
        at += length
        return createHash('sha256')
          .update(bytes.subarray(at - length, at))
          .digest('hex')
      })
    }
    const before = new Set(ids(random))
    const edited = Buffer.concat([
      random.subarray(0, 3_000_000),
      Buffer.from('put in'),
      random.subarray(3_000_000, 6_000_000),
      random.subarray(6_000_100, 9_000_000),
      Buffer.from('changed'),
      random.subarray(9_000_007),
    ])
    const fresh = ids(edited).filter((id) => !before.has(id))
    expect(fresh.length).toBeGreaterThan(0)
    expect(fresh.length).toBeLessThanOrEqual(9)
  })

  it('cuts pages at fixed places', () => {
    expect(lengths('pages', random.subarray(0, 100_000))).toEqual([32768, 32768, 32768, 1696])
  })

  it('gives no chunk for no bytes', () => {
    for (const profile of profiles) expect(lengths(profile, new Uint8Array(0))).toEqual([])
  })

  it('cuts as docs/format.md says, for ever', () => {
    const gear = (byte: number) =>
      createHash('sha256').update(gearSeed).update(Uint8Array.of(byte)).digest().readUInt32LE(0)
    expect([gear(0), gear(1), gear(255)]).toMatchInlineSnapshot(`
      [
        875543205,
        756435271,
        1745951517,
      ]
    `)
    expect(lengths('rows', random.subarray(0, 600_000))).toMatchInlineSnapshot(`
      [
        96516,
        76080,
        141760,
        74200,
        79823,
        88504,
        43117,
      ]
    `)
    expect(lengths('binary', random.subarray(0, 6_000_000))).toMatchInlineSnapshot(`
      [
        1075213,
        1254333,
        1098820,
        806184,
        1253012,
        512438,
      ]
    `)
    expect(lengths('rows', text.subarray(0, 500_000))).toMatchInlineSnapshot(`
      [
        20990,
        43964,
        100888,
        70054,
        65604,
        90098,
        104481,
        3921,
      ]
    `)
  })

  it('cuts as the plainest reading of docs/format.md does', () => {
    expect(lengths('rows', text.subarray(0, 1_500_000))).toEqual(plainLengths(text.subarray(0, 1_500_000)))
  })
})

/** The rule of docs/format.md for `rows`, written without any thought of speed: the hash of the last 32 bytes, anew at each place. */
function plainLengths(bytes: Uint8Array): readonly number[] {
  const gear = Array.from({ length: 256 }, (_, byte) =>
    createHash('sha256').update('git-env gear 1').update(Uint8Array.of(byte)).digest().readUInt32LE(0),
  )
  const found: number[] = []
  let start = 0
  for (let length = 1; start + length <= bytes.length; length++) {
    let cut = length === 262_144
    if (length > 16_384 && !cut) {
      let hash = 0
      for (let i = start + Math.max(length - 32, 16_352); i < start + length; i++) {
        hash = (hash * 2 + gear[bytes[i]!]!) % 4_294_967_296
      }
      cut = hash < 2 ** (32 - (length <= 65_536 ? 18 : 14))
    }
    if (!cut) continue
    found.push(length)
    start += length
    length = 0
  }
  if (start < bytes.length) found.push(bytes.length - start)
  return found
}
