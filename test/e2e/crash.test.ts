import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { databaseDump, treeFingerprint } from '../support/fingerprint.ts'
import { makeProject, Project } from '../support/project.ts'
import { temporaryDirectory } from '../support/temporary.ts'

/** What must be whole after a crash: all of it as before, or all of it as after. */
function wholeState(project: Project): string {
  const code = treeFingerprint(project.directory, { skip: ['.git', 'data', 'uploads'] }).slice(1)
  return JSON.stringify([
    databaseDump(project.database),
    treeFingerprint(project.uploads).map((line) => line.replace(/^(\.|folder-\d) (\d+) \d+/, '$1 $2')),
    code.map((line) => line.replace(/ \d{15,}/, '')),
  ])
}

/** A project with one snapshot, and changes after it; copied for every crash. */
async function makeTemplate(): Promise<{ project: Project; good: string; bad: string }> {
  const project = await makeProject({ rows: 20, files: 4 })
  // Untracked code that is not in the way stays through a restore: it belongs to both states.
  await writeFile(project.path('untracked.js'), 'untracked\n')
  const good = wholeState(project)
  await project.ok('snapshot', '-m', 'good')
  project.sql(`UPDATE notes SET text = 'ruined'`)
  await writeFile(`${project.uploads}/folder-1/1.txt`, 'overwritten')
  await writeFile(`${project.uploads}/new.txt`, 'new')
  await writeFile(project.path('app.js'), 'half edited\n')
  return { project, good, bad: wholeState(project) }
}

async function copyOf(template: Project): Promise<Project> {
  const directory = await temporaryDirectory('git-env-crash-')
  // Node's own copy rounds times to microseconds.
  await promisify(execFile)('cp', ['-a', `${template.directory}/.`, directory])
  return new Project(directory, template.home)
}

/** How many durable steps a command has: those of the command itself, and those of its guard. */
async function countSteps(template: Project, words: readonly string[]): Promise<{ own: number; guard: number }> {
  const project = await copyOf(template)
  const ran = await project.run(words, { env: { GIT_ENV_TRACE: '1' } })
  expect(ran.stderr).toContain('trace')
  expect(ran.status).toBe(0)
  const counts = new Map<string, number>()
  for (const [, pid] of ran.stderr.matchAll(/^trace (\d+) \d+ /gm)) counts.set(pid!, (counts.get(pid!) ?? 0) + 1)
  const [own = 0, guard = 0] = counts.values()
  return { own, guard }
}

async function crashAt(project: Project, words: readonly string[], variable: string, step: number): Promise<void> {
  const ran = await project.run(words, { env: { [variable]: String(step) } })
  if (variable === 'GIT_ENV_KILL_AT') expect(ran.signal).toBe('SIGKILL')
}

/** After a crash: older snapshots intact, the environment whole, nothing held, and the next commands work. */
async function expectWhole(project: Project, states: readonly string[]): Promise<string> {
  await project.ok('recover', '--wait')
  const state = wholeState(project)
  expect(states).toContain(state)
  expect(await project.ok('verify', '--data')).toContain('no damage found')
  expect(project.sql('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }])
  project.sql(`INSERT INTO notes (text) VALUES ('not held')`)
  project.sql(`DELETE FROM notes WHERE text = 'not held'`)
  return state
}

describe('a crash', () => {
  test('at any step of a snapshot leaves it absent or complete, and older ones intact', async () => {
    const { project: template, bad } = await makeTemplate()
    const words = ['snapshot', '-m', 'next']
    const { own } = await countSteps(template, words)
    expect(own).toBeGreaterThan(5)
    for (let step = 1; step <= own; step++) {
      const project = await copyOf(template)
      await crashAt(project, words, 'GIT_ENV_KILL_AT', step)
      await expectWhole(project, [bad])
      const count = (await project.json<unknown[]>('log', '--snapshots')).length
      expect(count === 1 || count === 2).toBe(true)
      await project.ok('snapshot', '-m', 'again')
      expect((await project.json<unknown[]>('log', '--snapshots')).length).toBe(count + 1)
    }
  })

  test.each(['GIT_ENV_KILL_AT', 'GIT_ENV_KILL_GUARD_AT'])(
    'at any step of a restore (%s) leaves the state before or the state after',
    async (variable) => {
      const { project: template, good, bad } = await makeTemplate()
      const words = ['restore', '--yes']
      const steps = await countSteps(template, words)
      const count = variable === 'GIT_ENV_KILL_AT' ? steps.own : steps.guard
      expect(count).toBeGreaterThan(5)
      for (let step = 1; step <= count; step++) {
        const project = await copyOf(template)
        await crashAt(project, words, variable, step)
        const state = await expectWhole(project, [good, bad])
        if (state === good) {
          await project.ok('undo')
          expect(wholeState(project)).toBe(bad)
        } else {
          await project.ok('restore', '--yes')
          expect(wholeState(project)).toBe(good)
        }
      }
    },
  )

  test.each(['GIT_ENV_KILL_AT', 'GIT_ENV_KILL_GUARD_AT'])(
    'at any step of an undo (%s) leaves the state before or the state after',
    async (variable) => {
      const { project: template, good, bad } = await makeTemplate()
      await template.ok('restore', '--yes')
      const steps = await countSteps(template, ['undo'])
      const count = variable === 'GIT_ENV_KILL_AT' ? steps.own : steps.guard
      for (let step = 1; step <= count; step++) {
        const project = await copyOf(template)
        await crashAt(project, ['undo'], variable, step)
        const state = await expectWhole(project, [good, bad])
        await project.ok('undo', ...(state === bad ? ['--redo'] : []))
        expect(wholeState(project)).toBe(state === bad ? good : bad)
      }
    },
  )
})
