import { chmod, readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { makeProject } from '../support/project.ts'

test('doctor warns of a local file that git does not ignore, or that others may read', async () => {
  const project = await makeProject()
  await writeFile(project.path('.git-env.local'), 'DB_PASSWORD=x\n')
  await chmod(project.path('.git-env.local'), 0o644)
  const findings = async () =>
    (await project.json<{ subject: string }[]>('doctor')).filter(({ subject }) => subject === '.git-env.local')
  const readable = {
    subject: '.git-env.local',
    level: 'warning',
    text: 'other users of this machine may read it',
    hint: 'chmod 600 .git-env.local',
  }
  expect(await findings()).toEqual([
    {
      subject: '.git-env.local',
      level: 'warning',
      text: 'git does not ignore it, and it holds secrets',
      hint: 'add .git-env.local to .gitignore',
    },
    readable,
  ])
  await writeFile(project.path('.gitignore'), `${await readFile(project.path('.gitignore'), 'utf8')}*.local\n`)
  expect(await findings()).toEqual([readable])
  await chmod(project.path('.git-env.local'), 0o600)
  expect(await findings()).toEqual([])
})
