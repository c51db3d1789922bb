import { writeFile } from 'node:fs/promises'
import { expect, onTestFinished, test } from 'vitest'
import type { Connection } from '../../src/services/redis/connection.ts'
import { library, oddKeyChanges, oddKeys } from '../support/odd-redis.ts'
import { makeProject, type Project } from '../support/project.ts'
import { indexContent, serverContent } from '../support/redis-content.ts'
import { type RedisServer, startRedis } from '../support/servers/redis.ts'

const password = `p@ss/w:o"r'd %41#`

type Cached = { readonly project: Project; readonly server: RedisServer; readonly connection: Connection }

/** A project with a cache in index 2 of a server, and all of another server. */
async function makeCachedProject(): Promise<Cached & { readonly whole: Connection }> {
  const [server, other] = [await startRedis(), await startRedis()]
  const [connection, whole] = [await server.connect(2), await other.connect(0)]
  onTestFinished(() => {
    for (const each of [connection, whole]) each.destroy()
    for (const each of [server, other]) each.stop()
  })
  for (const each of [connection, whole]) for (const words of oddKeys()) await each.run(...words)
  await whole.run('FUNCTION', 'LOAD', library('shop', 1))
  await connection.run('ACL', 'SETUSER', 'app', 'on', `>${password}`, '~*', '&*', '+@all')
  const project = await makeProject()
  const url = server.url(2).replace('redis://', 'redis://app:${CACHE_PASSWORD}@')
  await writeFile(project.path('.git-env.local'), `CACHE_PASSWORD=\`${password}\`\n`, { mode: 0o600 })
  await writeFile(project.path('.gitignore'), 'data/\nuploads/\n.git-env.local\n')
  await writeFile(
    project.path('.git-env.yaml'),
    `services:
  app: { type: sqlite, path: data/app.sqlite }
  cache: { type: redis, url: "${url}", spare: 15 }
  jobs: { type: redis, url: "${other.url()}" }
`,
  )
  await project.git('add', '.')
  await project.git('commit', '-qm', 'redis')
  return { project, server, connection, whole }
}

test('snapshot, restore, undo and redo bring a cache and a whole server back, at the common point and without a secret', async () => {
  const { project, connection, whole } = await makeCachedProject()
  const state = async () => `${await indexContent(connection, 2)}\n${await serverContent(whole, () => true)}`
  const good = await state()
  await project.ok('snapshot', '-m', 'good')
  const { manifest } = await project.json<{ manifest: { services: { name: string; level: string }[] } }>(
    'show',
    'latest',
  )
  expect(manifest.services.map(({ name, level }) => `${name} ${level}`)).toEqual([
    'app frozen',
    'cache frozen',
    'jobs frozen',
  ])
  await connection.run('SELECT', 2)
  await whole.run('SELECT', 0)
  for (const each of [connection, whole]) for (const words of oddKeyChanges(1)) await each.run(...words)
  await whole.run('FUNCTION', 'LOAD', 'REPLACE', library('shop', 2))
  const bad = await state()
  await project.ok('restore', '--yes')
  expect(await state()).toBe(good)
  await project.ok('undo')
  expect(await state()).toBe(bad)
  await project.ok('undo', '--redo')
  expect(await state()).toBe(good)
  await connection.run('SELECT', 15)
  expect(await connection.run('DBSIZE')).toBe(0)
  const said = [await project.ok('doctor'), await project.ok('show', 'latest', '--json'), await project.ok('status')]
  expect(said.join('\n')).not.toContain(password)
  expect(await project.ok('verify', '--data')).toContain('no damage found')
})

test('--only takes keys that begin alike, and leaves all others', async () => {
  const { project, connection } = await makeCachedProject()
  await connection.run('MSET', 'page:1', 'good', 'page:2', 'good', 'user:1', 'good')
  await project.ok('snapshot', '-m', 'good')
  await connection.run('MSET', 'page:1', 'bad', 'page:3', 'bad', 'user:1', 'kept')
  await connection.run('DEL', 'page:2')
  await project.ok('restore', '--yes', '--only', 'cache:page:*')
  const values = async () =>
    ((await connection.run('MGET', 'page:1', 'page:2', 'page:3', 'user:1')) as (Buffer | null)[]).map((value) =>
      String(value),
    )
  expect(await values()).toEqual(['good', 'good', 'null', 'kept'])
  await project.ok('undo')
  expect(await values()).toEqual(['bad', 'null', 'bad', 'kept'])
})
