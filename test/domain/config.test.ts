import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { parseConfig } from '../../src/domain/config.ts'
import { EnvError } from '../../src/domain/errors.ts'

const schemas: Record<string, v.GenericSchema> = {
  sqlite: v.strictObject({ path: v.string() }),
  files: v.strictObject({ path: v.string(), exclude: v.optional(v.array(v.string())) }),
}

async function schemaOf(type: string): Promise<v.GenericSchema> {
  const schema = schemas[type]
  if (!schema) throw new EnvError('usage', `unknown service type ${JSON.stringify(type)}`)
  return schema
}

async function errorOf(text: string): Promise<string> {
  try {
    await parseConfig(text, schemaOf)
  } catch (error) {
    expect(error).toMatchObject({ code: 'usage' })
    return (error as Error).message
  }
  throw new Error('the configuration was accepted')
}

describe('a configuration', () => {
  test('names services and mounts, in order of their names', async () => {
    const config = await parseConfig(
      'services:\n  db: { type: sqlite, path: a.db }\nmounts:\n  media: uploads\n  cache: { path: var, exclude: ["tmp/**"] }\n',
      schemaOf,
    )
    expect(config).toEqual({
      services: [
        { name: 'cache', kind: 'mount', type: 'files', settings: { path: 'var', exclude: ['tmp/**'] } },
        { name: 'db', kind: 'service', type: 'sqlite', settings: { path: 'a.db' } },
        { name: 'media', kind: 'mount', type: 'files', settings: { path: 'uploads' } },
      ],
      rebuilds: [],
      names: {},
      hooks: {},
      retentionDays: 14,
      store: undefined,
    })
  })

  test('may be empty, and its sections may be', async () => {
    expect((await parseConfig('', schemaOf)).services).toEqual([])
    expect((await parseConfig('services:\nmounts:\n', schemaOf)).services).toEqual([])
  })

  test('gives names to the data of branches that do not follow the pattern', async () => {
    const text = 'services:\n  db: { type: sqlite, path: "{env}.db" }\nenv:\n  main: { db: shop.db }\n'
    expect((await parseConfig(text, schemaOf)).names).toEqual({ main: { db: 'shop.db' } })
  })

  test('names commands as lists of words', async () => {
    const { hooks } = await parseConfig(
      'hooks: { freeze: [bin/maintenance, "on"], thaw: [bin/maintenance, "off"] }\n',
      schemaOf,
    )
    expect(hooks).toEqual({ freeze: ['bin/maintenance', 'on'], thaw: ['bin/maintenance', 'off'] })
  })

  test.each([
    [
      'hooks: { freeze: "bin/maintenance on" }\n',
      '.git-env.yaml:1:10: hooks.freeze: a command is a list of words, such as [bin/cache, flush]',
    ],
    ['env:\n  main: { db: shop }\n', '.git-env.yaml:2:11: env.main.db: there is no service of this name'],
    ['servces:\n  a: {}\n', '.git-env.yaml:1:1: unknown key servces'],
    ['services:\n  db:\n    type: sqlite\n    pth: a\n', '.git-env.yaml:4:5: unknown key services.db.pth'],
    ['services:\n  db: { type: sqlite }\n', '.git-env.yaml:2:3: services.db.path is missing'],
    ['services:\n  db: { path: a }\n', '.git-env.yaml:2:3: services.db.type is missing'],
    ['services:\n  db: { type: oracle }\n', '.git-env.yaml:2:9: unknown service type "oracle"'],
    ['mounts:\n  m: uploads\n  m: other\n', '.git-env.yaml:3:3: Map keys must be unique'],
    [
      'services:\n  x: { type: sqlite, path: a }\nmounts:\n  x: b\n',
      '.git-env.yaml:4:3: the name x is taken by a service',
    ],
    ['retention: { days: 0 }\n', '.git-env.yaml:1:14: retention.days: invalid value: Expected >=1 but received 0'],
    [
      'services: [a\n',
      '.git-env.yaml:2:1: Flow sequence in block collection must be sufficiently indented and end with a ]',
    ],
    [
      'mounts:\n  "../m": a\n',
      '.git-env.yaml:2:3: mounts.../m: a name is 1 to 41 characters: a lower-case letter, then letters, digits, - or _',
    ],
    ['mounts:\n  m: 7\n', '.git-env.yaml:2:3: mounts.m: a mount is a path, or has a `path`'],
  ])('%j is refused with line and column', async (text, message) => {
    expect(await errorOf(text)).toBe(message)
  })

  test('with keys of the object prototype is refused, and changes nothing', async () => {
    expect(await errorOf('__proto__:\n  polluted: true\n')).toContain('unknown key __proto__')
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })
})
