import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseEndpoint } from '../../../src/services/connection/endpoint.ts'
import { proposeFrom } from '../../../src/services/detection/find-services.ts'
import { textsOf } from '../../support/project-texts.ts'

const rules = { schemes: ['mysql', 'postgres'], port: 3306, options: [] }
const word = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
const odd = fc.string({ unit: fc.constantFrom(...'\'"`$\\{}%@:/?#[]&= é\u2028\n'), minLength: 1, maxLength: 12 })

/** As a YAML string in which compose fills nothing in. */
function inCompose(text: string): string {
  return JSON.stringify(text.replaceAll('$', '$$$$')).replace(/[\u007f-\u{10ffff}]/gu, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  )
}

test('whatever user, password and database a project has, the proposed url leads to exactly them', () => {
  fc.assert(
    fc.property(fc.oneof(word, odd), fc.oneof(word, odd), fc.oneof(word, odd), (user, password, database) => {
      // A path of dots is no path in a url, and no database is called so.
      fc.pre(!/^\.{1,2}$/.test(database))
      // A url leaves out a path of dots.
      fc.pre(database !== '.' && database !== '..')
      fc.pre(user !== 'root' && !/\$\{|\{env\}/.test(database) && !`${user}${password}${database}`.includes('\\u'))
      const texts = textsOf({
        'compose.yaml': `services:
  db:
    image: mysql
    ports: ["3306:3306"]
    environment: { MYSQL_USER: ${inCompose(user)}, MYSQL_PASSWORD: ${inCompose(password)}, MYSQL_DATABASE: ${inCompose(database)} }
`,
      })
      const [proposal] = proposeFrom(texts, () => false)
      expect(texts.notes).toEqual([])
      const { config, secrets = {} } = proposal!.detected!
      const endpoint = parseEndpoint(
        { url: String(config['url']) },
        {
          name: 'db',
          environmentKey: 'main',
          nameHere: undefined,
          variable: (name) => secrets[name],
          allowed: false,
        },
        rules,
      )
      expect(endpoint).toMatchObject({ user, password, database, host: '127.0.0.1', port: 3306 })
    }),
    { numRuns: 1000 },
  )
})
