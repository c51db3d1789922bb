import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { buildMessage, oneLine, parseTrailers } from '../../src/domain/trailers.ts'
import { isolatedEnvironment } from '../support/git-sandbox.ts'

/** What git itself says, one `Token: value` a line. */
function trailersByGit(message: string): string {
  const args = ['interpret-trailers', '--only-trailers', '--only-input', '--unfold', '--no-divider']
  const result = spawnSync('git', args, { input: message, env: isolatedEnvironment(), encoding: 'utf8' })
  expect(result.status).toBe(0)
  return result.stdout
}

function asGitPrints(message: string): string {
  return parseTrailers(message)
    .map(({ token, value }) => `${token}: ${value}\n`)
    .join('')
}

const line = fc.oneof(
  fc.constantFrom(
    '',
    '',
    ' ',
    '\t',
    'Snapshot-Id: 01jd3k',
    'Signed-off-by: Ada <ada@example.org>',
    '(cherry picked from commit 1234)',
    'plain words',
    'Key : value',
    'Key:value',
    ': no key',
    ' folded',
    '\tfolded: too',
    'two words: no trailer',
    'Ünicode: no trailer',
    '---',
    '#comment',
    'Conflicts:',
    'http://example.org',
    'key-1: a: b',
  ),
  fc.string({ unit: fc.constantFrom('a', 'B', '-', ':', ' ', '\t', '1', '#', 'é'), maxLength: 12 }),
)

test('parses what git interpret-trailers parses', () => {
  const messages = fc.array(line, { maxLength: 12 }).map((lines) => `${lines.join('\n')}\n`)
  fc.assert(
    fc.property(messages, (message) => {
      expect(asGitPrints(message)).toBe(trailersByGit(message))
    }),
    { numRuns: 800 },
  )
})

test('every message that is built is read back, by git too', () => {
  const text = fc.string({ unit: 'binary', maxLength: 30 })
  const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,10}$/)
  const trailers = fc.array(fc.record({ token, value: text.filter((value) => oneLine(value) !== '') }), {
    minLength: 1,
    maxLength: 5,
  })
  fc.assert(
    fc.property(
      fc.constantFrom('snapshot: x', 'a'),
      fc.array(text, { maxLength: 6 }),
      trailers,
      (subject, body, given) => {
        const message = buildMessage({ subject, body, trailers: given })
        const expected = given.map(({ token, value }) => ({ token, value: oneLine(value) }))
        expect(parseTrailers(message)).toEqual(expected)
        expect(trailersByGit(message)).toBe(expected.map(({ token, value }) => `${token}: ${value}\n`).join(''))
        expect(message).toMatch(/[^\n]\n$/)
        expect(message).not.toMatch(/[\r\0\x1b]/)
      },
    ),
    { numRuns: 200 },
  )
})

describe('oneLine', () => {
  test('control characters and line breaks become single spaces', () => {
    expect(oneLine('  a\n\tb\x1b[31m\u2028c\x9b ')).toBe('a b [31m c')
  })

  test('half a surrogate pair becomes a replacement character', () => {
    expect(oneLine('a\ud800b')).toBe('a\ufffdb')
  })
})
