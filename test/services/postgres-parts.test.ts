import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { streamName } from '../../src/services/postgres/catalog.ts'
import { entriesOf } from '../../src/services/postgres/entries.ts'
import { diffRows } from '../../src/services/postgres/row-diff.ts'

async function* inParts(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const joined = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join('')

describe('the difference of two streams of rows', () => {
  const rows = fc.array(
    fc.oneof(
      fc.constantFrom('', 'a', 'b', 'a\tb'),
      fc.string({ maxLength: 8 }).map((text) => text.replaceAll('\n', ' ')),
    ),
    { maxLength: 60 },
  )

  test('taken away and added, it makes one of the other', async () => {
    await fc.assert(
      fc.asyncProperty(rows, rows, fc.integer({ min: 1, max: 40 }), async (before, after, size) => {
        const result = [...before]
        const added: string[] = []
        for await (const { side, line } of diffRows(inParts(joined(before), size), inParts(joined(after), size + 3))) {
          const text = Buffer.from(line).toString().slice(0, -1)
          if (side === 'only after') added.push(text)
          else result.splice(result.indexOf(text), 1)
        }
        expect([...result, ...added].sort()).toEqual([...after].sort())
      }),
      { numRuns: 300 },
    )
  })

  test('is as small as the change where the order is the same', async () => {
    const before = Array.from({ length: 5000 }, (_, i) => `${i}\trow ${i}`)
    const after = before.filter((_, i) => i % 100 !== 3).map((line, i) => (i % 500 === 7 ? `${line} changed` : line))
    after.splice(1000, 0, ...Array.from({ length: 300 }, (_, i) => `new ${i}`))
    const lines = { 'only before': 0, 'only after': 0 }
    for await (const { side } of diffRows(inParts(joined(before), 4096), inParts(joined(after), 5000))) lines[side]++
    expect(lines).toEqual({ 'only before': 60, 'only after': 310 })
  })
})

test('entries begin where pg_dump begins one, whatever literals and bodies hold', () => {
  const head = (name: string) => `--\n-- Name: ${name}; Type: FUNCTION; Schema: public; Owner: app\n--\n\n`
  const bodies = [
    `CREATE FUNCTION a() RETURNS text LANGUAGE sql AS $_$\n${head('forged')}$_$;`,
    `COMMENT ON TABLE x IS E'it\\'s \\\\';`,
    `COMMENT ON TABLE x IS 'ends in \\';`,
    `CREATE VIEW "odd""\n${head('forged')}" AS SELECT 1;`,
    `CREATE TABLE y (a text DEFAULT '\n${head('forged')}''');`,
    `SELECT a$b, $1 /* /* ' */ " */;`,
  ]
  const dump = `--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\nSET x = 1;\n\n${bodies.map((body, i) => `${head(`n${i}; Type: T`)}${body}\n\n\n`).join('')}--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n`
  const { entries } = entriesOf(dump)
  expect(entries.map((entry) => entry.sql)).toEqual(bodies)
  expect(entries[0]).toMatchObject({ name: 'n0; Type: T', type: 'FUNCTION', schema: 'public' })
})

test('settings that pg_dump says once hold for each entry that they are meant for', () => {
  const entry = (name: string) =>
    `--\n-- Name: ${name}; Type: TABLE; Schema: s; Owner: o\n--\n\nCREATE TABLE ${name} ();\n\n\n`
  const text = `SET default_tablespace = '';\n\n${entry('a')}SET default_tablespace = fast;\n\n${entry('b')}${entry('c')}SET default_tablespace = '';\n\n${entry('d')}`
  expect(entriesOf(text).entries.map(({ sql }) => sql)).toEqual([
    'CREATE TABLE a ();',
    'SET default_tablespace = fast;\nCREATE TABLE b ();',
    'SET default_tablespace = fast;\nCREATE TABLE c ();',
    'CREATE TABLE d ();',
  ])
})

test('names of streams stay apart', () => {
  const names = [
    ['a.b', 'c'],
    ['a', 'b.c'],
    ['a', 'b%2ec'],
    ['a', '../b\n'],
  ] as const
  expect(names.map(([schema, name]) => streamName({ schema, name }))).toEqual([
    'table/a%2eb.c',
    'table/a.b%2ec',
    'table/a.b%252ec',
    'table/a.%2e%2e%2fb%0a',
  ])
})
