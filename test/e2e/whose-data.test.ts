import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeLibraryProject } from '../support/library-project.ts'
import { makeProject, Project } from '../support/project.ts'
import { start } from '../support/running.ts'
import { temporaryDirectory } from '../support/temporary.ts'

async function note(project: Project): Promise<unknown> {
  return project.sql('SELECT text FROM notes WHERE id = 1')[0]?.['text']
}

async function write(project: Project, text: string): Promise<void> {
  project.sql(`UPDATE notes SET text = '${text}' WHERE id = 1`)
}

describe('data that branches share', () => {
  test('is not filed under another branch after a plain git switch, until somebody says whose it is', async () => {
    const project = await makeProject()
    await project.ok('snapshot', '-m', 'of main')
    await project.git('switch', '-q', '-c', 'feature')
    for (const words of [['snapshot'], ['snapshot', '--dry-run']]) {
      expect(await project.run(words)).toMatchObject({
        status: 3,
        stderr:
          'error: the data in app and uploads is that of main, and feature is checked out\n' +
          "hint: git switch main to snapshot it there; or git env snapshot --adopt, which says that it is feature's from now on\n",
      })
    }
    await project.ok('snapshot', '--adopt', '-m', 'of feature')
    await project.ok('snapshot', '-m', 'of feature again')
    await project.git('switch', '-q', 'main')
    expect((await project.run(['snapshot'])).status).toBe(3)
  })

  test('belongs to the branch that it was restored into, and undo gives it back', async () => {
    const project = await makeProject()
    await project.ok('snapshot', '--name', 'start')
    await project.git('switch', '-q', '-c', 'feature')
    await write(project, 'still of main')
    await project.ok('restore', '--yes', '--to', 'feature', 'start')
    await project.ok('snapshot', '-m', 'feature has it now')
    await project.ok('undo')
    expect(await note(project)).toBe('still of main')
    expect((await project.run(['snapshot'])).stderr).toContain('is that of main, and feature is checked out')
    await project.ok('undo', '--redo')
    await project.ok('snapshot', '-m', 'feature has it again')
  })
})

describe('two work trees that share data', () => {
  test('exclude each other', async () => {
    const project = await makeProject()
    const shared = path.join(await temporaryDirectory(), 'uploads')
    const config = readFileSync(project.path('.git-env.yaml'), 'utf8').replace('uploads: uploads', `uploads: ${shared}`)
    expect(config).toContain(shared)
    writeFileSync(project.path('.git-env.yaml'), config)
    await project.git('commit', '-qam', 'shared uploads')
    await project.ok('allow')
    mkdirSync(shared)
    writeFileSync(path.join(shared, 'file'), 'one')
    await project.ok('snapshot')
    const second = new Project(path.join(await temporaryDirectory(), 'second'), project.home)
    await project.git('worktree', 'add', '-q', second.directory, '-b', 'second')
    const running = start(project, ['snapshot'], { at: 'snapshot: point taken', ms: 2500 })
    await running.at('snapshot: point taken')
    expect(await second.run(['snapshot', '--only', 'uploads'])).toMatchObject({
      status: 7,
      stderr: expect.stringContaining(`error: another activity has ${shared}: git env snapshot, for `),
    })
    expect((await running.ended).status).toBe(0)
    expect(await second.run(['snapshot', '--only', 'uploads'])).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('the data in uploads is that of main, and second is checked out'),
    })
  })
})

describe('two clones that share databases', () => {
  test.each([
    ['shop', 'MariaDB'],
    ['books', 'PostgreSQL'],
  ])('exclude each other by what is in the server (%s, %s)', async (service) => {
    const { project, state } = await makeLibraryProject()
    await project.ok('snapshot')
    const second = new Project(path.join(await temporaryDirectory(), 'second'), project.home)
    await project.git('clone', '-q', project.directory, second.directory)
    copyFileSync(project.path('.git-env.local'), second.path('.git-env.local'))
    await second.ok('init')
    const good = state()
    const running = start(project, ['restore', '--yes'], { at: 'swap: held', ms: 2500 })
    await running.at('snapshot: point taken')
    expect(await second.run(['snapshot', '--only', service])).toMatchObject({
      status: 7,
      stderr: expect.stringMatching(/^error: .*git-env.*\nhint: /),
    })
    expect((await running.ended).status).toBe(0)
    expect(state()).toBe(good)
    expect(await second.run(['snapshot', '--only', service])).toMatchObject({ status: 0 })
  })
})
