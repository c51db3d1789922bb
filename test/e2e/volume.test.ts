import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeProject, type Project } from '../support/project.ts'
import { start, until } from '../support/running.ts'
import { temporaryDirectory } from '../support/temporary.ts'

/** A project with a folder `queue` whose service writes down that it was stopped and started, and does what the file `trouble` says. */
async function projectWithVolume(): Promise<Project> {
  const project = await makeProject()
  mkdirSync(project.path('queue'))
  writeFileSync(project.path('queue/messages'), 'first')
  writeFileSync(project.path('.gitignore'), 'data/\nuploads/\nqueue/\nlog\ntrouble\n')
  writeFileSync(project.path('service'), '#!/bin/sh\necho "$1" >>log\n[ -e trouble ] && . ./trouble\nexit 0\n')
  chmodSync(project.path('service'), 0o755)
  const config = readFileSync(project.path('.git-env.yaml'), 'utf8')
  const service = '{ type: volume, path: queue, stop: [./service, stop], start: [./service, start] }'
  writeFileSync(project.path('.git-env.yaml'), config.replace('services:\n', `services:\n  box: ${service}\n`))
  await project.git('add', '.')
  await project.git('commit', '-qm', 'a volume')
  return project
}

const read = (project: Project, name: string) =>
  existsSync(project.path(name)) ? readFileSync(project.path(name), 'utf8') : ''

describe('a volume', () => {
  test('is stopped and started for a snapshot, but not to look at it; an export holds its files', async () => {
    const project = await projectWithVolume()
    expect(await project.run(['snapshot'])).toMatchObject({
      status: 3,
      stderr:
        'error: box is stopped and started by commands: ./service stop, and ./service start\n' +
        'hint: look at them, then: git env allow\n',
    })
    await project.ok('allow')
    await project.ok('snapshot', '--dry-run')
    await project.ok('doctor')
    await project.ok('status')
    expect(read(project, 'log')).toBe('')
    await project.ok('snapshot')
    expect(read(project, 'log')).toBe('stop\nstart\n')
    expect(await project.ok('show')).toContain('box  volume  1 file, 5 B\n  1 file, 5 B\n  stopped for ')
    writeFileSync(project.path('queue/messages'), 'second')
    expect(await project.ok('diff')).toContain('box: 1 file changed\n  ~ messages  5 B → 6 B\n')
    expect(read(project, 'log')).toBe('stop\nstart\n')
    const archive = path.join(await temporaryDirectory(), 'all.tar')
    await project.ok('export', 'latest', archive)
    expect(execFileSync('tar', ['-xOf', archive, 'box/messages'], { encoding: 'utf8' })).toBe('first')
  })

  test('is started again after Ctrl-C in the middle of the stop', async () => {
    const project = await projectWithVolume()
    await project.ok('allow')
    writeFileSync(project.path('trouble'), '[ "$1" = stop ] && sleep 1 && echo stopped >>log')
    const running = start(project, ['snapshot'])
    await until(() => read(project, 'log') || undefined, 'the stop')
    running.interrupt()
    expect(await running.ended).toMatchObject({ status: 130 })
    expect(read(project, 'log')).toBe('stop\nstopped\nstart\n')
    expect(await project.json('log', '--snapshots')).toEqual([])
  })

  test('whose start fails after a restore is told, and what was restored stays', async () => {
    const project = await projectWithVolume()
    await project.ok('allow')
    await project.ok('snapshot')
    writeFileSync(project.path('queue/messages'), 'second')
    writeFileSync(project.path('trouble'), '[ "$1" = start ] && echo "port taken" && exit 4')
    const ran = await project.run(['restore', '--yes'])
    expect(ran).toMatchObject({ status: 0 })
    const warning =
      'warning: box: ./service start did not work: it ended with status 4: port taken; when that is mended, start it yourself\n'
    // Once after the safety snapshot, once after the swap.
    expect(ran.stderr.split(warning).length).toBe(3)
    expect(read(project, 'queue/messages')).toBe('first')
  })

  test('whose stop fails is neither captured nor restored, and all else stays as it is', async () => {
    const project = await projectWithVolume()
    await project.ok('allow')
    await project.ok('snapshot')
    writeFileSync(project.path('queue/messages'), 'second')
    project.sql('DELETE FROM notes')
    writeFileSync(project.path('trouble'), '[ "$1" = stop ] && exit 4')
    const ran = await project.run(['restore', '--yes'])
    expect(ran).toMatchObject({
      status: 6,
      stderr: expect.stringContaining('error: box: ./service stop did not work: it ended with status 4\n'),
    })
    expect([read(project, 'queue/messages'), project.sql('SELECT count(*) AS n FROM notes')]).toEqual([
      'second',
      [{ n: 0 }],
    ])
    expect(read(project, 'log').endsWith('stop\nstart\n')).toBe(true)
  })

  test('names its commands in pairs', async () => {
    const project = await projectWithVolume()
    const file = project.path('.git-env.yaml')
    writeFileSync(file, readFileSync(file, 'utf8').replace(', start: [./service, start]', ''))
    expect(await project.run(['status'])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^error: \.git-env\.yaml:\d+:\d+: services\.box: stop and start go together\n/),
    })
  })
})
