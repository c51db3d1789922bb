import fc from 'fast-check'
import { expect, test } from 'vitest'
import { idAfter, isSnapshotId, shortId } from '../../src/domain/snapshot-id.ts'

const digit = fc.constantFrom(...'0123456789abcdefghjkmnpqrstvwxyz')
const id = fc
  .tuple(fc.constantFrom(...'0123456'), fc.array(digit, { minLength: 25, maxLength: 25 }))
  .map(([first, rest]) => first + rest.join(''))

test('an id sorts after the newest there is, whatever the clock says, and is as unique as before', () => {
  fc.assert(
    fc.property(id, id, (newest, fresh) => {
      const next = idAfter(newest, fresh)
      expect(isSnapshotId(next)).toBe(true)
      expect(next > newest || next === newest).toBe(true)
      if (fresh > newest) expect(next).toBe(fresh)
      else if (fresh < newest) expect([next > newest, next.slice(10)]).toEqual([true, fresh.slice(10)])
      if (fresh !== newest) expect(shortId(next)).not.toBe(newest)
    }),
  )
})

test('the first id, and one after the last that there can be, are what the clock says', () => {
  const fresh = '01j00000000000000000000000'
  expect(idAfter(undefined, fresh)).toBe(fresh)
  expect(idAfter('7zzzzzzzzzzzzzzzzzzzzzzzzz', fresh)).toBe(fresh)
  expect(idAfter('01jzzzzzzz0000000000000000', fresh)).toBe('01k00000000000000000000000')
})
