import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { changeMongo, database, fillMongo } from '../support/odd-mongodb.ts'
import { makeProject } from '../support/project.ts'
import { MongoServer } from '../support/servers/mongodb.ts'

test('a MongoDB database comes back with the rest, undo brings the change back, and redo takes it away again', async () => {
  const server = await MongoServer.start()
  fillMongo(server)
  const project = await makeProject({ rows: 5, files: 2 })
  const config = await readFile(project.path('.git-env.yaml'), 'utf8')
  const documents = `  documents: { type: mongodb, url: "${server.url(database)}", run: ${JSON.stringify(server.run)} }`
  await writeFile(project.path('.git-env.yaml'), config.replace('services:\n', `services:\n${documents}\n`))
  await project.git('commit', '-qam', 'with documents')
  await project.ok('allow')
  expect(await project.ok('doctor')).toContain('not yet run against a real server')
  const good = server.contentOf(database)
  expect(await project.ok('snapshot', '-m', 'good')).toContain('4 collections, 163 documents')
  changeMongo(server, 1)
  const bad = server.contentOf(database)
  expect(await project.ok('restore', '--dry-run')).toContain(
    'documents: 1 collection added, 1 changed, 1 removed; the definitions changed',
  )
  expect(server.contentOf(database)).toBe(bad)
  await project.ok('restore', '--yes')
  expect(server.contentOf(database)).toBe(good)
  await project.ok('undo')
  expect(server.contentOf(database)).toBe(bad)
  await project.ok('undo', '--redo')
  expect(server.contentOf(database)).toBe(good)
  changeMongo(server, 2)
  await project.ok('restore', 'latest', '--only', 'documents:orders', '--yes')
  expect(server.data.collection(database, 'new-2')).toBeDefined()
  expect(server.data.collection(database, 'log')).toBeUndefined()
  expect(await project.ok('verify', '--data')).toContain('no damage found')
  const ours = server.data.collections(database).filter(({ name }) => name.startsWith('git_env_'))
  expect(ours.map(({ name }) => name).sort()).toEqual(['git_env_01j99999999999999999999999_old_0', 'git_env_state'])
})
