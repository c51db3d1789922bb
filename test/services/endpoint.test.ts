import fc from 'fast-check'
import { expect, test } from 'vitest'
import { describeEndpoint, parseEndpoint } from '../../src/services/connection/endpoint.ts'

const rules = { schemes: ['mysql', 'mariadb'], port: 3306, options: ['ssl-ca'] }

function contextWith(more: { variables?: Record<string, string>; nameHere?: string; allowed?: boolean } = {}) {
  const { variables = {}, nameHere, allowed = false } = more
  const variable = (name: string) => variables[name]
  return { name: 'db', environmentKey: 'main-0a1b2c3d', nameHere, variable, allowed }
}

function parse(url: string, more: Parameters<typeof contextWith>[0] = {}, run?: readonly string[]) {
  return parseEndpoint({ url, run }, contextWith(more), rules)
}

test('a url says where a service is, and {env} stands for the environment', () => {
  expect(parse('mysql://app@127.0.0.1/shop_{env}?ssl-ca=ca.pem')).toEqual({
    scheme: 'mysql',
    host: '127.0.0.1',
    port: 3306,
    socketPath: undefined,
    user: 'app',
    password: undefined,
    database: 'shop_main-0a1b2c3d',
    options: { 'ssl-ca': 'ca.pem' },
    run: undefined,
  })
  expect(parse('mysql://[::1]:3307/shop')).toMatchObject({ host: '::1', port: 3307 })
  expect(parse('mysql:///shop?socketPath=/run/mysqld/mysqld.sock')).toMatchObject({
    database: 'shop',
    socketPath: '/run/mysqld/mysqld.sock',
  })
})

test('a name that the configuration gives for this environment takes the place of the pattern', () => {
  expect(parse('mysql://127.0.0.1/shop_{env}', { nameHere: 'shop' }).database).toBe('shop')
})

test('a password holds any character when it comes from a variable, or is escaped', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (password) => {
      const filled = parse('mysql://app:${DB_PASSWORD}@127.0.0.1/shop', { variables: { DB_PASSWORD: password } })
      expect(filled.password).toBe(password)
      expect(filled.database).toBe('shop')
    }),
  )
  expect(parse('mysql://app:p%40ss%2F%25@127.0.0.1/shop').password).toBe('p@ss/%')
})

test('a whole url may stand in a variable', () => {
  const variables = { DATABASE_URL: 'mysql://root:${not}@127.0.0.1:3310/shop_{env}' }
  expect(() => parse('${DATABASE_URL}', { variables })).not.toThrow()
  expect(parse('${DATABASE_URL}', { variables })).toMatchObject({ port: 3310, password: '${not}' })
})

test('people see where it is, never the password', () => {
  const variables = { DB_PASSWORD: 'hunter2' }
  const endpoint = parse('mysql://app:${DB_PASSWORD}@[::1]/shop', { variables, allowed: true }, ['ssh', 'db1'])
  expect(describeEndpoint(endpoint)).toBe('shop on [::1]:3306 (by ssh db1)')
})

test('what is wrong with a url is said without showing it', () => {
  const errors: [string, string][] = [
    ['mysql://app:hunter2@127.0.0.1:999999/shop', 'db: its url is not one'],
    ['postgres://127.0.0.1/shop', 'db: the url begins with postgres:, not mysql: or mariadb:'],
    ['mysql://127.0.0.1/shop?sslca=x', 'db: the url has an unknown parameter sslca'],
    ['mysql://app:hunter2%@127.0.0.1/shop', 'db: its url has a % that begins no escape'],
    ['mysql://app:${DB_PASSWORD}@127.0.0.1/shop', 'db: the variable DB_PASSWORD is not set'],
    ['mysql://db.example.com/shop', 'db is on db.example.com, which is not this machine'],
    ['mysql://db.example.com/shop?socketPath=', 'db is on db.example.com, which is not this machine'],
    ['mysql://127.0.0.1.example.com/shop', 'db is on 127.0.0.1.example.com, which is not this machine'],
  ]
  for (const [url, message] of errors) expect(() => parse(url)).toThrow(message)
  expect(() => parse('mysql://127.0.0.1/shop', {}, ['ssh', 'db1'])).toThrow('db is reached by a command of its own')
  expect(parse('mysql://db.example.com/shop', { allowed: true }).host).toBe('db.example.com')
})
