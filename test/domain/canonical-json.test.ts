import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalJson, type Json } from '../../src/domain/canonical-json.ts'

const { tree } = fc.letrec<{ tree: Json }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.string({ unit: 'binary' }),
    fc.array(tie('tree')),
    fc.dictionary(fc.string(), tie('tree')),
  ),
}))

describe('canonical JSON', () => {
  it('is JSON of the same value', () => {
    fc.assert(
      fc.property(tree, (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(normal(value))
      }),
    )
  })

  it('is the same text for equal values, whatever the order of their keys', () => {
    const one = { b: 1, a: { d: [1, 2], c: null } }
    const other = { a: { c: null, d: [1, 2] }, b: 1 }
    expect(canonicalJson(one)).toBe(canonicalJson(other))
    expect(canonicalJson(one)).toBe('{"a":{"c":null,"d":[1,2]},"b":1}')
  })

  it('is its own fixed point', () => {
    fc.assert(
      fc.property(tree, (value) => {
        const text = canonicalJson(value)
        expect(canonicalJson(JSON.parse(text) as Json)).toBe(text)
      }),
    )
  })

  it('orders keys by code unit, not by language', () => {
    expect(canonicalJson({ ä: 1, z: 2, Z: 3, a: 4, '10': 5, '9': 6 })).toBe('{"10":5,"9":6,"Z":3,"a":4,"z":2,"ä":1}')
  })

  it('leaves out what is undefined', () => {
    expect(canonicalJson({ a: undefined, b: 1 })).toBe('{"b":1}')
  })

  it.each([0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])('refuses the number %s', (value) => {
    expect(() => canonicalJson({ value })).toThrow('safe integers only')
  })
})

/** −0 has no JSON text of its own. */
function normal(value: Json): unknown {
  return JSON.parse(JSON.stringify(value))
}
