import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { makeProject, type Project } from '../support/project.ts'
import { start, until } from '../support/running.ts'

/** A project whose hooks write down that they ran. */
async function projectWithHooks(hooks: Record<string, readonly string[]>): Promise<Project> {
  const project = await makeProject()
  writeFileSync(project.path('.gitignore'), 'data/\nuploads/\nhooks.log\n')
  writeFileSync(
    project.path('note'),
    '#!/bin/sh\nsleep "${2:-0}"\necho "$1 $GIT_ENV_ENVIRONMENT" >>hooks.log\nexit "${3:-0}"\n',
  )
  chmodSync(project.path('note'), 0o755)
  const config = readFileSync(project.path('.git-env.yaml'), 'utf8')
  writeFileSync(project.path('.git-env.yaml'), `${config}hooks: ${JSON.stringify(hooks)}\n`)
  await project.git('add', '.')
  await project.git('commit', '-qm', 'hooks')
  return project
}

function log(project: Project): string {
  return existsSync(project.path('hooks.log')) ? readFileSync(project.path('hooks.log'), 'utf8') : ''
}

describe('hooks', () => {
  test('do not run before they are allowed, and another command needs consent of its own', async () => {
    const project = await projectWithHooks({ freeze: ['./note', 'frozen'] })
    const refused = await project.run(['snapshot'])
    expect(refused).toMatchObject({
      status: 3,
      stderr:
        'error: the configuration wants to run a command as its freeze hook: ./note frozen\n' +
        'hint: look at it, then: git env allow\n',
    })
    expect(await project.ok('allow')).toContain('the freeze hook runs: ./note frozen')
    await project.ok('snapshot')
    expect(log(project)).toBe('frozen main\n')
    const config = readFileSync(project.path('.git-env.yaml'), 'utf8')
    writeFileSync(project.path('.git-env.yaml'), config.replace('frozen', 'chilled'))
    expect((await project.run(['snapshot'])).status).toBe(3)
    expect((await project.run(['restore', '--yes'])).status).toBe(3)
  })

  test('freeze and thaw lie around the point; a dry run and --live need neither', async () => {
    const project = await projectWithHooks({ freeze: ['./note', 'freeze'], thaw: ['./note', 'thaw'] })
    await project.ok('allow')
    await project.ok('snapshot', '--dry-run')
    await project.ok('snapshot', '--live')
    expect(log(project)).toBe('')
    await project.ok('snapshot')
    expect(log(project)).toBe('freeze main\nthaw main\n')
  })

  test('a freeze that does not work is no snapshot, and is thawed', async () => {
    const project = await projectWithHooks({ freeze: ['./note', 'freeze', '0', '3'], thaw: ['./note', 'thaw'] })
    await project.ok('allow')
    const failed = await project.run(['snapshot'])
    expect(failed).toMatchObject({
      status: 6,
      stderr: expect.stringContaining(
        'error: the freeze hook ./note freeze 0 3 did not work: it ended with status 3\n',
      ),
    })
    expect(log(project)).toBe('freeze main\nthaw main\n')
    expect(await project.json('log', '--snapshots')).toEqual([])
  })

  test('a thaw that does not work is said, and the snapshot stands', async () => {
    const project = await projectWithHooks({ thaw: ['./no-such-program'] })
    await project.ok('allow')
    const ran = await project.run(['snapshot'])
    expect(ran.status).toBe(0)
    expect(ran.stderr).toMatch(/warning: the thaw hook \.\/no-such-program did not work: it ended with status 127/)
  })

  test('what was frozen is thawed when git-env is killed', async () => {
    const project = await projectWithHooks({ freeze: ['./note', 'freeze', '2'], thaw: ['./note', 'thaw'] })
    await project.ok('allow')
    const running = start(project, ['snapshot'])
    await until(() => log(project).includes('freeze') || undefined, 'the freeze hook')
    process.kill(running.pid, 'SIGKILL')
    await until(() => log(project) === 'freeze main\nthaw main\n' || undefined, 'the thaw hook')
  })

  test('after-restore runs after a restore and an undo; when it fails that is said, and the data is back', async () => {
    const project = await projectWithHooks({ 'after-restore': ['./note', 'flushed', '0', '1'] })
    await project.ok('allow')
    await project.ok('snapshot')
    project.sql('DELETE FROM notes')
    const restored = await project.run(['restore', '--yes'])
    expect(restored.status).toBe(0)
    expect(restored.stderr).toContain(
      'warning: the after-restore hook ./note flushed 0 1 did not work: it ended with status 1',
    )
    expect(project.sql('SELECT count(*) AS n FROM notes')).toEqual([{ n: 100 }])
    await project.ok('undo')
    expect(log(project)).toBe('flushed main\nflushed main\n')
  })
})
