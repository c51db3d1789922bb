import * as v from 'valibot'
import { expect, test } from 'vitest'
import { parseConfig } from '../../src/domain/config.ts'
import { consentLines } from '../../src/usecases/allow.ts'

const text = `
services:
  near: { type: any, url: "mysql://app:\${P}@127.0.0.1/shop" }
  socket: { type: any, url: "mysql://app@localhost/shop?socketPath=/run/mysqld.sock" }
  far: { type: any, url: "mysql://app:\${P}@db.example.com/shop" }
  far6: { type: any, url: "postgres://[2001:db8::1]/shop" }
  empty: { type: any, url: "mysql://evil.example.com/shop?socketPath=" }
  boxed: { type: any, url: "mysql://127.0.0.1/shop", run: [docker, compose, exec, -T, db] }
  whole: { type: any, url: "\${DATABASE_URL}" }
  hosted: { type: any, url: "mysql://app@\${DB_HOST}/shop" }
  broken: { type: any, url: "no url" }
  app: { type: any, path: data/app.sqlite }
mounts:
  media: ../shared/media
  var: var
env:
  main: { var: /srv/var, app: data/main.sqlite, far: shop }
  "feature/x": { app: ../x.sqlite }
hooks: { freeze: [bin/maintenance, "on"] }
store: ../backups
`

const schema = v.looseObject({})

test('consent names all that leads out of the project or runs a command, and nothing else', async () => {
  const config = await parseConfig(text, async () => schema)
  expect(consentLines({ config, directory: '/p/shop' }).join('\n')).toMatchInlineSnapshot(`
    "app lies outside the project on feature/x: /p/x.sqlite
    boxed is reached by a command: docker compose exec -T db
    empty is on evil.example.com, which is not this machine
    far is on db.example.com, which is not this machine
    far6 is on 2001:db8::1, which is not this machine
    hosted is on \${DB_HOST}, which may be any machine
    media lies outside the project: /p/shared/media
    var lies outside the project on main: /srv/var
    whole is wherever the variable DATABASE_URL says
    the freeze hook runs: bin/maintenance on
    the store: /p/backups"
  `)
})

test('what a variable stands for now decides whether consent is needed now', async () => {
  const config = await parseConfig(text, async () => schema)
  const variables = (url: string, host: string) => (name: string) =>
    ({ DATABASE_URL: url, DB_HOST: host })[name] as string | undefined
  const about = (lookup: (name: string) => string | undefined) =>
    consentLines({ config, directory: '/p/shop' }, lookup).filter((line) => /^(whole|hosted)/.test(line))
  expect(about(variables('mysql://app:secret@127.0.0.1/shop', 'localhost'))).toEqual([])
  expect(about(() => undefined)).toEqual([])
  expect(about(variables('mysql://app:secret@db.example.com/shop', '10.0.0.1'))).toEqual([
    'hosted is on 10.0.0.1, which is not this machine',
    'whole is on db.example.com, which is not this machine',
  ])
})
