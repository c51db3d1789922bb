import { hash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Json } from '../../src/domain/canonical-json.ts'
import type { Content } from '../../src/domain/content.ts'
import type { Manifest } from '../../src/domain/manifest.ts'
import { decodeManifest, encodeManifest } from '../../src/domain/manifest-codec.ts'
import { manifestOf } from '../support/store-samples.ts'

const digest = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'))
const count = fc.nat(2 ** 50)
const content: fc.Arbitrary<Content> = fc.oneof(
  fc.record({ bytes: count, sha256: digest, chunks: fc.array(digest, { maxLength: 32 }) }),
  fc.record({ bytes: count, sha256: digest, list: fc.array(digest, { maxLength: 5 }) }),
)
const safeKey = fc.string().filter((key) => !['__proto__', 'constructor', 'prototype'].includes(key))
const manifests: fc.Arbitrary<Manifest> = fc
  .record({
    contents: fc.array(content, { maxLength: 4 }),
    message: fc.string({ unit: 'binary' }),
    name: fc.option(fc.string({ unit: 'binary' }), { nil: undefined }),
    partial: fc.boolean(),
    facts: fc.dictionary(safeKey, fc.oneof(fc.string(), fc.maxSafeInteger(), fc.array(fc.constant<Json>(null)))),
    versions: fc.dictionary(safeKey, fc.string()),
  })
  .map(({ contents, facts, versions, name, ...rest }) => {
    const manifest = manifestOf(contents)
    const service = { ...manifest.services[0]!, facts, versions }
    return { ...manifest, ...rest, ...(name === undefined ? {} : { name }), services: [service] }
  })

const sample = manifestOf([{ bytes: 3, sha256: 'a'.repeat(64), chunks: ['a'.repeat(64)] }])

/** The code and message that a text, named by its own SHA-256, is refused with. */
function refusal(text: string): { readonly code: string; readonly message: string } {
  const bytes = Buffer.from(text, 'utf8')
  try {
    decodeManifest(bytes, hash('sha256', bytes))
  } catch (error) {
    return error as { code: string; message: string }
  }
  throw new Error('it was not refused')
}

const text = encodeManifest(sample).toString()

describe('a manifest', () => {
  it('decodes to what was encoded', () => {
    fc.assert(
      fc.property(manifests, (manifest) => {
        const bytes = encodeManifest(manifest)
        const decoded = decodeManifest(bytes, hash('sha256', bytes))
        expect(decoded).toEqual(manifest)
        expect(encodeManifest(decoded)).toEqual(bytes)
      }),
    )
  })

  it('is found damaged when any byte of it is another', () => {
    const bytes = encodeManifest(sample)
    const name = hash('sha256', bytes)
    for (let i = 0; i < bytes.length; i++) {
      const flipped = Buffer.from(bytes)
      flipped[i]! ^= 1 << (i % 8)
      expect(() => decodeManifest(flipped, name)).toThrow(`the manifest ${name} is damaged`)
    }
  })

  it('of a newer version is refused, not called damaged', () => {
    expect(refusal(text.replace('"version":1}', '"version":2}'))).toMatchObject({
      code: 'refused',
      message: expect.stringContaining('has the version 2, made by a newer git-env'),
      hint: 'this git-env reads version 1: install a newer one',
    })
  })

  it.each([
    ['no JSON', '{'],
    ['white space', text.replace('{', '{ ')],
    ['no final newline', text.trimEnd()],
    ['keys out of order', text.replace('"environment":"main",', '').replace('{', '{"environment":"main",')],
    ['an unknown key', text.replace('"environment"', '"a":1,"environment"')],
    ['a key twice', text.replace('"environment":"main",', '"environment":"main","environment":"main",')],
    ['a prototype key', text.replace('"facts":{', '"facts":{"__proto__":{"x":1},')],
    ['a prototype key deeper down', text.replace('"nested":{', '"nested":{"constructor":{"prototype":1},')],
    ['a fraction', text.replace('"pages":12', '"pages":12.5')],
    ['a number that is not exact', text.replace('"pages":12', '"pages":9007199254740993')],
    ['a negative length', text.replace('"bytes":3', '"bytes":-3')],
    ['a chunk id that is none', text.replace(`"chunks":["${'a'.repeat(64)}"]`, '"chunks":["../../etc/passwd"]')],
    ['chunks and a list', text.replace('"chunks":[', '"list":[],"chunks":[')],
    ['neither chunks nor a list', text.replace(`"chunks":["${'a'.repeat(64)}"],`, '')],
    ['an id that is none', text.replace('"id":"01j0', '"id":"../0')],
    ['a time that is none', text.replace('"createdAt":"2026', '"createdAt":"x')],
    ['a byte order mark', `\ufeff${text}`],
    [
      'nesting that would exhaust the stack',
      text.replace('"pages":12', `"pages":${'['.repeat(9999)}${']'.repeat(9999)}`),
    ],
    ['version 0', text.replace('"version":1}', '"version":0}')],
    ['no object', 'null\n'],
    ['a list', '[]\n'],
  ])('with %s is damaged, though its SHA-256 is right', (_, changed) => {
    expect(changed).not.toBe(text)
    expect(refusal(changed)).toMatchObject({ code: 'damaged', message: expect.stringContaining('is damaged: ') })
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })

  it('that no reader would take is not written', () => {
    const wrong = { ...sample, services: [sample.services[0]!, sample.services[0]!] }
    expect(() => encodeManifest(wrong)).toThrow(
      'not a manifest that can be stored: services: out of order or twice there',
    )
    expect(() => encodeManifest({ ...sample, id: 'x' })).toThrow('not a manifest that can be stored: id')
  })
})
