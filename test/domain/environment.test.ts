import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { environmentKey, environmentOf } from '../../src/domain/environment.ts'

describe('the key of an environment', () => {
  test('shows the branch and tells it from all others', () => {
    expect(environmentKey('refs/heads/main')).toMatch(/^main-[0-9a-f]{8}$/)
    expect(environmentKey('refs/heads/feature/Größe')).toMatch(/^feature-gr-e-[0-9a-f]{8}$/)
    expect(environmentKey('refs/heads/a/b')).not.toBe(environmentKey('refs/heads/a-b'))
    expect(environmentOf(undefined).name).toBe('detached')
  })

  test('is safe as a file name and in a database name, whatever the branch is called', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (name) => {
        expect(environmentKey(`refs/heads/${name}`)).toMatch(/^[a-z0-9]([a-z0-9-]{0,38})$/)
      }),
    )
  })
})
