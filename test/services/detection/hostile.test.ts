import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { detectServers, proposeFrom, surveyServices } from '../../../src/services/detection/find-services.ts'
import { proposalFor, textsOf } from '../../support/project-texts.ts'
import { temporaryDirectory } from '../../support/temporary.ts'

async function projectWith(files: Readonly<Record<string, string | Uint8Array>>) {
  const directory = await temporaryDirectory()
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(path.join(directory, path.dirname(file)), { recursive: true })
    writeFileSync(path.join(directory, file), content)
  }
  return { directory, tracked: new Set<string>() }
}

async function notesOf(files: Readonly<Record<string, string | Uint8Array>>): Promise<readonly string[]> {
  return (await surveyServices(await projectWith(files), ['mariadb', 'postgres'])).notes
}

const words = 'services: { db: { image: mariadb, environment: { MARIADB_DATABASE: x } } }'

describe('a file that cannot be read is passed over with a line that shows nothing of it', () => {
  test('YAML that is none, or unfolds without end, or is nested without end', async () => {
    const levels = Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i}, `.repeat(12)}]`)
    const merges = Array.from({ length: 7 }, (_, i) => `m${i + 1}: &m${i + 1}\n  <<: [${`*m${i}, `.repeat(12)}]`)
    expect(await notesOf({ 'compose.yaml': 'services:\n  db:\n    x: "hunter2\n  y: [' })).toEqual([
      'compose.yaml:4 is no YAML that can be read',
    ])
    const unfolding = `a0: &a0 [x]\n${levels.join('\n')}\nservices: { db: { image: mariadb, ports: *a12 } }\n`
    expect(await notesOf({ 'compose.yaml': unfolding })).toEqual([])
    const merging = `m0: &m0 { x: y }\n${merges.join('\n')}\nservices: { db: { image: mariadb, environment: *m7 } }\n`
    expect(await notesOf({ 'compose.yaml': merging })).toEqual(['compose.yaml unfolds to more than can be read'])
    expect(await notesOf({ 'compose.yaml': 'services: &s\n  db: { image: mariadb, <<: *s }\n' })).toEqual([])
    expect(await notesOf({ 'compose.yaml': `services: ${'['.repeat(50_000)}` })).toEqual([
      expect.stringMatching(/^compose\.yaml(:1 is no YAML that can be read| is nested too deeply to be read)$/),
    ])
  })

  test('what is too large, binary, not UTF-8, a folder, or outside the project', async () => {
    expect(await notesOf({ 'wp-config.php': `<?php ${' '.repeat(300_000)}` })).toEqual([
      'wp-config.php is larger than 256 KiB',
    ])
    expect(await notesOf({ '.env': 'DB_PASSWORD=\0hunter2' })).toEqual(['.env is no text'])
    expect(await notesOf({ '.env': Buffer.from('DB_PASSWORD=caf\xe9', 'latin1') })).toEqual(['.env is not in UTF-8'])
    expect(await notesOf({ '.env/x': '' })).toEqual([])
    const project = await projectWith({})
    const outside = await projectWith({ 'compose.yaml': words })
    symlinkSync(path.join(outside.directory, 'compose.yaml'), path.join(project.directory, 'compose.yaml'))
    symlinkSync('nowhere', path.join(project.directory, '.env'))
    expect(await detectServers(project, ['mariadb'])).toEqual([])
    expect(await surveyServices(project, [])).toEqual({ seen: [], notes: [] })
  })
})

describe('odd PHP', () => {
  test('is understood or passed over, never run', () => {
    const config = (lines: string) => proposalFor({ 'wp-config.php': lines })
    const rest = `define('DB_USER', 'u'); define('DB_HOST', 'db.example.com');`
    expect(
      config(`text <?php if (true) { define ( "DB_NAME" , 'a'.'b' ) ; } /* ' " */ ${rest}
      define('DB_PASSWORD', <<<'END'
      it's "odd" )
      END
      ); ?> <p>define('DB_NAME', 'html')</p> <?php define('DB_NAME', 'second');`),
    ).toMatchInlineSnapshot(`
      "services:
        # wp-config.php:1 names it (WordPress)
        db:
          type: mysql
          url: mysql://u:\${DB_PASSWORD}@db.example.com/ab"
    `)
    expect(config(`<?php define('DB_NAME', "shop_$stage"); ${rest}`)).toMatchInlineSnapshot(`
      "services:
        {}
        # for example:
        #   app: { type: sqlite, path: data/app.sqlite }
      not in it: db (mysql, wp-config.php:1): nothing names its database"
    `)
    expect(config(`<?php define('DB_NAME', file_get_contents('/etc/passwd')); ${rest}`)).toMatchInlineSnapshot(`
      "services:
        {}
        # for example:
        #   app: { type: sqlite, path: data/app.sqlite }
      not in it: db (mysql, wp-config.php:1): nothing names its database"
    `)
    expect(config(`<?php define('DB_NAME', 'open`)).toMatchInlineSnapshot(`
      "services:
        {}
        # for example:
        #   app: { type: sqlite, path: data/app.sqlite }
      not in it: db (mysql, wp-config.php:1): nothing names its database"
    `)
    expect(config(`<?php define('DB_NAME', 'x\${HOME}'); ${rest}`)).toMatchInlineSnapshot(`
      "services:
        {}
        # for example:
        #   app: { type: sqlite, path: data/app.sqlite }
      not in it: db (mysql, wp-config.php:1): the name of its database fits no url"
    `)
  })

  test('takes no longer than it is long', () => {
    const started = performance.now()
    for (const part of [
      '/*',
      '//',
      "\\'",
      '"\\',
      '<<<A\n',
      '?><?php ',
      '[',
      '(',
      'array(',
      'a ?? ',
      '.',
      '#',
      '`',
      '<',
    ]) {
      for (const file of ['wp-config.php', 'app/etc/env.php', 'sites/default/settings.php']) {
        const text = `<?php return define('DB_NAME', ${part.repeat(200_000 / part.length)}`
        proposalFor({ [file]: text })
      }
    }
    proposalFor({ 'config/database.yml': `development: "${'<%'.repeat(50_000)}` })
    proposalFor({ '.env': `DATABASE_URL=mysql://${'${A:-'.repeat(40_000)}\n` })
    expect(performance.now() - started).toBeLessThan(20_000)
  })

  test('whatever a file holds, nothing is thrown and no secret shows', () => {
    const noise = fc.stringMatching(/^[\s'"`$\\{}()[\]<>?%=:,;.#*&!|@/a-z0-9-]{0,60}$/)
    fc.assert(
      fc.property(noise, noise, (before, after) => {
        const secret = 'hunter2secret'
        const files = {
          'compose.yaml': `${before}\nservices: {db: {image: mysql, environment: {MYSQL_DATABASE: a, MYSQL_ROOT_PASSWORD: ${secret}${after}}}}`,
          'wp-config.php': `<?php ${before} define('DB_NAME', 'x'); define('DB_PASSWORD', '${secret}'${after}`,
          'app/etc/env.php': `<?php return ['db' => ['connection' => ['default' => ['dbname' => 'x', 'password' => '${secret}${after}`,
          'sites/default/settings.php': `<?php ${before} $databases['default']['default'] = ['database' => 'x', 'password' => '${secret}'${after}`,
          'config/database.yml': `development:\n  adapter: mysql2\n  database: x\n  password: ${secret}${after}\n`,
          '.env': `${before}\nDATABASE_URL=mysql://u:${secret}${after}@h/x\n`,
        }
        const texts = textsOf(files)
        const proposals = proposeFrom(texts, () => false)
        const shown = JSON.stringify([proposals, texts.notes], (key, value) => (key === 'secrets' ? undefined : value))
        expect(shown).not.toContain(secret)
      }),
      { numRuns: 300 },
    )
  })
})
