import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import * as v from 'valibot'
import { expect, test } from 'vitest'
import { detectServers } from '../../src/services/detection/find-services.ts'
import { loadDriver } from '../../src/services/registry.ts'
import type { ServiceDriver } from '../../src/services/service-driver.ts'
import { init } from '../../src/usecases/init.ts'
import { openWorkspace } from '../../src/usecases/workspace.ts'
import { wire } from '../../src/wiring.ts'
import { makeProject, type Project } from '../support/project.ts'

/** A driver that finds its services and can do nothing else. */
const standIn: ServiceDriver = {
  type: 'mariadb',
  kind: 'service',
  schema: v.strictObject({ url: v.string(), run: v.optional(v.array(v.string())) }),
  detect: (project) => detectServers(project, ['mariadb', 'mysql']),
  open: () => Promise.reject(new Error('not needed')),
  export: () => Promise.reject(new Error('not needed')),
}

async function initWith(project: Project, environment: Record<string, string> = {}) {
  const ports = wire({
    environment: { ...project.environment, ...environment },
    entry: '',
    progress: { phase: () => {}, advance: () => {}, warn: () => {}, end: () => {} },
    signal: new AbortController().signal,
  })
  const types = ['files', 'mariadb', 'sqlite']
  const load = async (type: string) => (type === 'mariadb' ? standIn : loadDriver(type))
  return init(await openWorkspace({ ...ports, driverTypes: types, loadDriver: load }, project.directory))
}

async function projectWith(files: Readonly<Record<string, string>>): Promise<Project> {
  const project = await makeProject({ initialized: false })
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(project.path(name)), { recursive: true })
    await writeFile(project.path(name), text)
  }
  return project
}

const shop = {
  'compose.yaml': `services:
  app:
    image: mariadb:11.4
    environment: { MARIADB_DATABASE: shop, MARIADB_ROOT_PASSWORD: root-hunter2 }
  cache: { image: redis:7, ports: ["6379:6379"] }
`,
  'wp-config.php': `<?php
define( 'DB_NAME', 'shop' );
define( 'DB_USER', 'shopper' );
define( 'DB_PASSWORD', 'hunter2\\'"' );
define( 'DB_HOST', 'app' );
`,
}

test('the configuration names variables, the local file holds what they are, and nothing else does', async () => {
  const project = await projectWith(shop)
  const result = await initWith(project)
  expect(await readFile(project.path('.git-env.yaml'), 'utf8')).toMatchInlineSnapshot(`
    "# What git-env saves with every snapshot of a branch: the data of services and the folders of uploaded files.
    # Code is in Git already. Paths are relative to this file.

    services:
      # compose.yaml:2 runs mariadb:11.4; wp-config.php:2 names it (WordPress)
      app:
        type: mariadb
        url: mysql://shopper:\${APP_PASSWORD}@127.0.0.1/shop
        run: [docker, compose, exec, -T, app]
      # data/app.sqlite is a SQLite database
      app-2:
        type: sqlite
        path: data/app.sqlite
    mounts:
      # uploads; git does not keep it
      uploads: uploads
    "
  `)
  expect(await readFile(project.path('.git-env.local'), 'utf8')).toBe('APP_PASSWORD=`hunter2\'"`\n')
  expect((await stat(project.path('.git-env.local'))).mode & 0o777).toBe(0o600)
  expect(await readFile(project.path('.gitignore'), 'utf8')).toBe('data/\nuploads/\n.git-env.local\n')
  const { survey, local, unset, consent, found } = result
  expect(JSON.stringify({ survey, local, unset, consent, found })).not.toContain('hunter2')
  expect({ survey, local, unset, consent }).toEqual({
    survey: {
      seen: [{ type: 'redis', name: 'cache', source: 'compose.yaml:5' }],
      notes: [],
    },
    local: { written: ['APP_PASSWORD'], kept: [], leftOut: [], ignoreWritten: true },
    unset: [],
    consent: ['app is reached by a command: docker compose exec -T app'],
  })
})

test('a variable that nothing sets is named; one of the environment is not copied', async () => {
  const project = await projectWith({
    'compose.yaml': `services:
  db: { image: mysql, ports: ["3306:3306"], environment: { MYSQL_DATABASE: a, MYSQL_ROOT_PASSWORD: "\${ROOT_PASSWORD}" } }
  two: { image: mysql, ports: ["3307:3306"], environment: { MYSQL_DATABASE: b, MYSQL_ROOT_PASSWORD: "\${OTHER_PASSWORD}" } }
`,
  })
  const result = await initWith(project, { ROOT_PASSWORD: 'hunter2' })
  expect(result).toMatchObject({ unset: ['OTHER_PASSWORD'], local: { written: [], ignoreWritten: false } })
  await expect(stat(project.path('.git-env.local'))).rejects.toThrow('ENOENT')
})

test('a local file that git tracks gets no secret, and init goes on', async () => {
  const project = await projectWith({ ...shop, '.git-env.local': 'A=1\n' })
  await project.git('add', '-f', '.git-env.local')
  expect(await initWith(project)).toMatchObject({
    configWritten: true,
    storeCreated: true,
    local: { written: [], leftOut: [{ name: 'APP_PASSWORD', reason: '.git-env.local is tracked by git' }] },
    unset: ['APP_PASSWORD'],
  })
  expect(await readFile(project.path('.git-env.local'), 'utf8')).toBe('A=1\n')
})

test('where there is a configuration, neither it nor the local file is touched', async () => {
  const project = await projectWith({ ...shop, '.git-env.yaml': 'services: {}\n' })
  expect(await initWith(project)).toMatchObject({ configWritten: false, found: [], local: { written: [] } })
  await expect(stat(project.path('.git-env.local'))).rejects.toThrow('ENOENT')
})

test('files that are hostile in every way end in a configuration all the same', async () => {
  const project = await projectWith({
    ...shop,
    'compose.yaml': 'services: [',
    '.lando.yml': '&a [*a]',
    '.ddev/config.yaml': 'database: [',
    'app/etc/env.php': '<?php return [[[[',
    'config/database.yml': '<%= `rm -rf /` %>',
    '.env': '\0',
  })
  const result = await initWith(project)
  expect(result.survey.notes).toEqual([
    '.env is no text',
    'compose.yaml:1 is no YAML that can be read',
    '.ddev/config.yaml:1 is no YAML that can be read',
  ])
  expect(result.found.map(({ name }) => name)).toEqual(['uploads', 'db', 'app'])
})
