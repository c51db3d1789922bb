import { expect, test } from 'vitest'
import { driverTypes, loadDriver } from '../../src/services/registry.ts'

test('every file of a driver is a type, and its driver says the same', async () => {
  expect(driverTypes()).toContain('sqlite')
  for (const type of driverTypes()) expect((await loadDriver(type)).type).toBe(type)
})

test('an unknown type is refused with the types that there are', async () => {
  await expect(loadDriver('../registry')).rejects.toMatchObject({
    code: 'usage',
    hint: expect.stringContaining('sqlite'),
  })
})
