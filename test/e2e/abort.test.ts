import { appendFile, rename, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { databaseDump, treeFingerprint } from '../support/fingerprint.ts'
import { makeProject, Project } from '../support/project.ts'
import { start } from '../support/running.ts'

async function ruinedProject(): Promise<Project> {
  const project = await makeProject()
  await project.ok('snapshot', '-m', 'good')
  project.sql(`UPDATE notes SET text = 'ruined'`)
  await writeFile(`${project.uploads}/folder-1/1.txt`, 'overwritten')
  return project
}

const dataOf = (project: Project) => [databaseDump(project.database), treeFingerprint(project.uploads)]

/** Kills a restore and its guard at a step. */
async function killBoth(project: Project, step: string): Promise<void> {
  const restore = start(project, ['restore', '--yes'], { at: step, ms: 2000 })
  const doer = await restore.at(step)
  process.kill(restore.pid, 'SIGKILL')
  if (doer !== restore.pid) process.kill(doer, 'SIGKILL')
  await restore.ended
}

describe('restore --abort', () => {
  test.each(['journal: staged', 'journal: committing', 'swap: app swapped', 'swap: released', 'undo: entered'])(
    'after a crash at "%s" brings back what was there, and loses nothing that was written since',
    async (step) => {
      const project = await ruinedProject()
      const before = dataOf(project)
      await killBoth(project, step)
      const isSwapped = project.sql('SELECT text FROM notes WHERE id = 1')[0]?.['text'] !== 'ruined'
      project.sql(`INSERT INTO notes (text) VALUES ('precious')`)
      await appendFile(`${project.uploads}/folder-2/2.txt`, 'precious')
      const written = dataOf(project)
      await project.ok('restore', '--abort')
      if (!isSwapped) return expect(databaseDump(project.database).join()).toContain('precious')
      // What was not swapped yet when it was written to keeps what was written.
      const expected = step === 'swap: app swapped' ? [before[0], written[1]] : before
      expect(dataOf(project)).toEqual(expected)
      await project.ok('undo', '--redo')
      expect(databaseDump(project.database)).toEqual(written[0])
    },
  )

  test('without a restore that was cut short does nothing', async () => {
    const project = await ruinedProject()
    expect(await project.ok('restore', '--abort')).toBe('no restore was cut short\n')
  })
})

test('a work tree that was moved after a crash says where to move it back, and takes no snapshot of a mixture', async () => {
  const project = await ruinedProject()
  await killBoth(project, 'swap: app swapped')
  const moved = new Project(`${project.directory}-moved`, project.home)
  await rename(project.directory, moved.directory)
  for (const words of [['snapshot'], ['recover'], ['undo']]) {
    const ran = await moved.run(words)
    expect(ran.stderr).toContain(`was cut short here when this work tree was ${project.directory}\nhint: move it back`)
    expect(ran.status).toBe(8)
  }
  await rename(moved.directory, project.directory)
  await project.ok('recover')
  expect(databaseDump(project.database).join()).not.toContain('ruined')
})

test('a restore and an undo of it go to where the configuration says, also when the code then says otherwise', async () => {
  const project = await ruinedProject()
  await rename(project.path('data'), project.path('elsewhere'))
  await writeFile(
    project.path('.git-env.yaml'),
    'services:\n  app: { type: sqlite, path: elsewhere/app.sqlite }\nmounts:\n  uploads: uploads\n',
  )
  await writeFile(project.path('.gitignore'), 'data/\nelsewhere/\nuploads/\n')
  await project.git('commit', '-qam', 'the database moves')
  const before = [databaseDump(project.path('elsewhere/app.sqlite')), treeFingerprint(project.uploads)]
  const ran = await project.run(['restore', '--yes'])
  expect(ran.stderr).toContain('app (data/app.sqlite) was elsewhere then')
  expect(databaseDump(project.path('elsewhere/app.sqlite')).join()).not.toContain('ruined')
  await project.ok('undo')
  expect([databaseDump(project.path('elsewhere/app.sqlite')), treeFingerprint(project.uploads)]).toEqual(before)
})
