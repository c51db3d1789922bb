import { readdirSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  compareDocuments,
  type Document,
  decodeDocuments,
  encodeDocument,
} from '../../src/services/opensearch/documents.ts'
import { asObject, parseExact, stableText, without } from '../../src/services/opensearch/exact-json.ts'
import { patternsOf } from '../../src/services/opensearch/patterns.ts'
import { readPage } from '../../src/services/opensearch/raw-hits.ts'
import { sortedDocuments } from '../../src/services/opensearch/sorted-documents.ts'
import { collect } from '../support/memory-content.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const document = fc.record({
  id: fc.string({ unit: 'grapheme', minLength: 1 }),
  routing: fc.option(fc.string({ unit: 'grapheme', minLength: 1 }), { nil: undefined }),
  source: fc.json().map((text) => Uint8Array.from(Buffer.from(text))),
})

async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items
}

const plain = ({ id, routing, source }: Document) => ({ id, routing, source: Buffer.from(source).toString('utf8') })

describe('a stream of documents', () => {
  test('is read back however it is cut into parts', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(document), fc.integer({ min: 1, max: 50 }), async (documents, length) => {
        const bytes = Buffer.concat(documents.map(encodeDocument))
        const parts = Array.from({ length: Math.ceil(bytes.length / length) }, (_, n) =>
          bytes.subarray(n * length, (n + 1) * length),
        )
        expect((await collect(decodeDocuments(each(parts)))).map(plain)).toEqual(documents.map(plain))
      }),
      { numRuns: 50 },
    )
  })

  test('that ends too early is damaged', async () => {
    const bytes = encodeDocument({ id: '1', routing: undefined, source: Buffer.from('{}') })
    await expect(collect(decodeDocuments(each([bytes.subarray(0, -1)])))).rejects.toMatchObject({ code: 'damaged' })
  })

  test('is in the same order whether it was sorted in memory or through files, which are gone afterwards', async () => {
    const directory = await temporaryDirectory()
    const documents = Array.from({ length: 500 }, (_, n) => ({
      id: `${(n * 7919) % 250}`,
      routing: n % 2 === 0 ? undefined : `r${n}`,
      source: Buffer.from(`{"n":${n}}\n `),
    }))
    const inMemory = (await collect(sortedDocuments(each(documents), directory))).map(plain)
    const throughFiles = (await collect(sortedDocuments(each(documents), directory, 2000))).map(plain)
    expect(throughFiles).toEqual(inMemory)
    expect(inMemory).toEqual(documents.toSorted(compareDocuments).map(plain))
    expect(readdirSync(directory)).toEqual([])
  })

  test('leaves no files of a process that died', async () => {
    const directory = await temporaryDirectory()
    await mkdir(path.join(directory, 'sorting-999999999-1'))
    await collect(sortedDocuments(each([]), directory))
    expect(readdirSync(directory)).toEqual([])
  })
})

test('a page gives every source in the bytes that the server sent', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ id: fc.string({ minLength: 1 }), source: fc.json() })), (hits) => {
      const list = hits.map(({ id, source }) => `{ "_id": ${JSON.stringify(id)} ,"_source":${source}\n, "sort":[ 1 ]}`)
      const text = `{"took":1,"timed_out":false,"_shards":{"failed":0},"hits":{"total":{"value":9},"hits":[${list.join(' , ')}]}}`
      const page = readPage(Buffer.from(text))
      expect(page).toMatchObject({ total: 9, isWhole: true, pitId: undefined })
      expect(page.hits.map(plain)).toEqual(hits.map(({ id, source }) => ({ id, routing: undefined, source })))
    }),
  )
  expect(() => readPage(Buffer.from('{"hits":{"hits":[{"_id":"1","_source":{"a":"'))).toThrow('not what it should be')
  expect(() => readPage(Buffer.from('[]'))).toThrow('not what it should be')
})

test('definitions keep their numbers, and equal ones have equal texts', () => {
  const text = '{"b":[1.0,1e3,12345678901234567890,-0],"a":{"y":null,"x":"é"}}'
  expect(stableText(parseExact(text))).toBe('{"a":{"x":"é","y":null},"b":[1.0,1e3,12345678901234567890,-0]}')
  expect(without(asObject(parseExact('{"a":{"b":1},"c":2}')), ['a', 'b'])).toEqual({ c: 2 })
})

test('patterns match what they name and nothing of the server or of git-env', () => {
  const patterns = patternsOf('search', 'indices', ['shop-{env}-*', 'p.q', '*log'], 'main-1')
  const matching = (names: readonly string[]) => names.filter((name) => patterns.matches(name))
  expect(matching(['shop-main-1-a', 'shop-main-2-a', 'p.q', 'pxq', 'log', '.log', 'git-env-log'])).toEqual([
    'shop-main-1-a',
    'p.q',
    'log',
  ])
  for (const wrong of ['', 'a,b', '_all', '-shop', 'Shop', 'git-env-x*', 'a b', 'a/b']) {
    expect(() => patternsOf('search', 'indices', [wrong], 'x'), wrong).toThrow('cannot be a name')
  }
})
