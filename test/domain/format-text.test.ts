import { expect, test } from 'vitest'
import { formatAge, formatBytes, formatCount, formatMicros, plural, printable } from '../../src/domain/format-text.ts'

test('bytes have three digits at the most', () => {
  const shown = [0, 999, 1000, 1024, 10_240, 984 * 1024, 1000 * 1024, 1_288_490_189].map(formatBytes)
  expect(shown).toEqual(['0 B', '999 B', '1.0 KiB', '1.0 KiB', '10 KiB', '984 KiB', '1.0 MiB', '1.2 GiB'])
})

test('counts, durations and ages are as people say them', () => {
  expect(formatCount(1_203_331)).toBe('1,203,331')
  expect(plural(1, 'table')).toBe('1 table')
  expect(plural(0, 'entry', 'entries')).toBe('0 entries')
  expect([800, 12_000, 3_200_000, 240_000_000].map(formatMicros)).toEqual(['0.8 ms', '12 ms', '3.2 s', '4 min'])
  const now = new Date('2026-01-10T12:00:00Z')
  const ages = ['2026-01-10T11:59:50Z', '2026-01-10T11:59:10Z', '2026-01-10T09:00:00Z', '2026-01-08T11:00:00Z']
  expect(ages.map((age) => formatAge(new Date(age), now))).toEqual([
    'just now',
    'a minute ago',
    '3 hours ago',
    '2 days ago',
  ])
})

test('nothing that is printed can move the cursor or turn the text round', () => {
  expect(printable('a\u001b[31mb\nc\u202ed')).toBe('a\\x1b[31mb\\x0ac\\u202ed')
})
