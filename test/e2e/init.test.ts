import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { makeProject } from '../support/project.ts'

test('git env init says what it found and what it did not take, and never a secret', async () => {
  const project = await makeProject({ initialized: false })
  await writeFile(
    project.path('compose.yaml'),
    `services:
  documents: { image: mongo:8, environment: { MONGO_INITDB_ROOT_PASSWORD: hunter2 } }
`,
  )
  await writeFile(project.path('.lando.yml'), 'services: [')
  const ran = await project.run(['init'])
  expect(ran.status).toBe(0)
  expect(`${ran.stdout}${ran.stderr}`).toMatchInlineSnapshot(`
    "wrote .git-env.yaml
      uploads  files   uploads          uploads; git does not keep it
      app      sqlite  data/app.sqlite  data/app.sqlite is a SQLite database
      not in it: documents (mongodb, compose.yaml:2): nothing names its database
    made the store .git/env/store
    warning: passed over: .lando.yml:1 is no YAML that can be read
    hint: look at .git-env.yaml and commit it; then: git env snapshot -m "first"
    "
  `)
  expect(await project.git('grep', '--untracked', '-l', 'hunter2')).toBe('compose.yaml')
})
