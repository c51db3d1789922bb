import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect } from 'vitest'
import { databaseDump, treeFingerprint } from './fingerprint.ts'
import { makeProject, Project } from './project.ts'
import { temporaryDirectory } from './temporary.ts'

/** What must be whole after a crash: all of it as before, or all of it as after. */
export function wholeState(project: Project): string {
  const code = treeFingerprint(project.directory, { skip: ['.git', 'data', 'uploads'] }).slice(1)
  return JSON.stringify([
    databaseDump(project.database),
    treeFingerprint(project.uploads).map((line) => line.replace(/^(\.|folder-\d) (\d+) \d+/, '$1 $2')),
    code.map((line) => line.replace(/ \d{15,}/, '')),
  ])
}

/** A project with one snapshot, and changes after it. */
export async function makeTemplate(): Promise<{ project: Project; good: string; bad: string }> {
  const project = await makeProject({ rows: 20, files: 4 })
  // Untracked code that is not in the way stays through a restore: it belongs to both states.
  await writeFile(project.path('untracked.js'), 'untracked\n')
  const good = wholeState(project)
  await project.ok('snapshot', '-m', 'good', '--name', 'good')
  return { project, good, bad: await ruin(project) }
}

/** Changes data, files and code; each time to what no snapshot holds yet, so that there is something to store. */
async function ruin(project: Project, title = 'at first'): Promise<string> {
  project.sql(`UPDATE notes SET text = 'ruined ${title}'`)
  await writeFile(`${project.uploads}/folder-1/1.txt`, `overwritten ${title}`)
  await writeFile(`${project.uploads}/new.txt`, `new ${title}`)
  await writeFile(project.path('app.js'), `half edited ${title}\n`)
  return wholeState(project)
}

export async function copyOf(template: Project): Promise<Project> {
  const directory = await temporaryDirectory('git-env-crash-')
  // Node's own copy rounds times to microseconds.
  await promisify(execFile)('cp', ['-a', `${template.directory}/.`, directory])
  return new Project(directory, template.home)
}

/** How many durable steps a command has: those of the command itself, and those of its guard. */
export async function countSteps(template: Project, words: readonly string[]): Promise<{ own: number; guard: number }> {
  const project = await copyOf(template)
  const ran = await project.run(words, { env: { GIT_ENV_TRACE: '1' } })
  expect(ran.stderr).toContain('trace')
  expect(ran.status).toBe(0)
  const counts = new Map<string, number>()
  for (const [, pid] of ran.stderr.matchAll(/^trace (\d+) \d+ /gm)) counts.set(pid!, (counts.get(pid!) ?? 0) + 1)
  const [own = 0, guard = 0] = counts.values()
  return { own, guard }
}

/**
 * Kills a restore and an undo once at every durable step of the process that `variable` names, in turns and in one project: each begins with what
 * the crashes before it left behind, and is what brings the other back to its beginning.
 */
export async function crashEverywhere(variable: 'GIT_ENV_KILL_AT' | 'GIT_ENV_KILL_GUARD_AT'): Promise<void> {
  const { project, good } = await makeTemplate()
  const whose = variable === 'GIT_ENV_KILL_AT' ? 'own' : 'guard'
  const restore = {
    words: ['restore', '--yes'],
    next: 1,
    count: (await countSteps(project, ['restore', '--yes']))[whose],
  }
  const restored = await copyOf(project)
  await restored.ok(...restore.words)
  await ruin(restored, 'before the undo is counted')
  const undo = { words: ['undo'], next: 1, count: (await countSteps(restored, ['undo']))[whose] }
  expect(Math.min(restore.count, undo.count)).toBeGreaterThan(5)
  let restoredOver: string | undefined
  for (let crash = 1; restore.next <= restore.count || undo.next <= undo.count; crash++) {
    const now = await ruin(project, `before crash ${crash}`)
    const after = restoredOver ?? good
    const command = restoredOver === undefined ? restore : undo
    if (command.next > command.count) await project.ok(...command.words)
    else await crashAt(project, command.words, variable, command.next++)
    if ((await expectWhole(project, [now, after])) === after)
      restoredOver = restoredOver === undefined ? now : undefined
  }
  const last = await ruin(project, 'at the end')
  await project.ok('restore', 'good', '--yes')
  expect(wholeState(project)).toBe(good)
  await project.ok('undo')
  expect(wholeState(project)).toBe(last)
  expect(await project.ok('verify', '--data')).toContain('no damage found')
}

export async function crashAt(
  project: Project,
  words: readonly string[],
  variable: string,
  step: number,
): Promise<void> {
  const ran = await project.run(words, { env: { [variable]: String(step) } })
  if (variable === 'GIT_ENV_KILL_AT') expect(ran.signal).toBe('SIGKILL')
}

/** After a crash: older snapshots intact, the environment whole, nothing held, and the next commands work. */
export async function expectWhole(project: Project, states: readonly string[]): Promise<string> {
  await project.ok('recover', '--wait')
  const state = wholeState(project)
  expect(states).toContain(state)
  expect(project.sql('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }])
  project.sql(`INSERT INTO notes (text) VALUES ('not held')`)
  project.sql(`DELETE FROM notes WHERE text = 'not held'`)
  return state
}
