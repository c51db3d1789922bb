import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeProject, type Project } from '../support/project.ts'
import { start, until } from '../support/running.ts'
import { temporaryDirectory } from '../support/temporary.ts'

/** `items` can be reached by a program alone, which does what `$trouble` in the file `trouble` says, and writes down what it did. */
const program = `#!/bin/sh
[ -e trouble ] && . ./trouble
case $1 in
  dump) echo dump >>log; cat items; exit "\${dump_status:-0}" ;;
  restore) sleep "\${pause:-0}"; cat >items; echo restore >>log; grep -q bad items && exit 7 ;;
esac
exit 0
`

async function projectWithCommand(): Promise<Project> {
  const project = await makeProject()
  writeFileSync(project.path('.gitignore'), 'data/\nuploads/\nitems\nlog\ntrouble\n')
  writeFileSync(project.path('program'), program)
  chmodSync(project.path('program'), 0o755)
  writeFileSync(project.path('items'), 'first')
  const config = readFileSync(project.path('.git-env.yaml'), 'utf8')
  const service = '{ type: command, dump: [./program, dump], restore: [./program, restore] }'
  writeFileSync(project.path('.git-env.yaml'), config.replace('services:\n', `services:\n  box: ${service}\n`))
  await project.git('add', '.')
  await project.git('commit', '-qm', 'a command')
  return project
}

const items = (project: Project) => readFileSync(project.path('items'), 'utf8')

describe('a service that is dumped and restored by commands', () => {
  test("is a stranger's until it is allowed: nothing of it is run", async () => {
    const project = await projectWithCommand()
    for (const words of [['snapshot'], ['status'], ['doctor'], ['diff']])
      expect((await project.run(words)).status).not.toBe(0)
    expect(await project.run(['snapshot'])).toMatchObject({
      status: 3,
      stderr:
        'error: box is dumped and restored by commands: ./program dump, and ./program restore\n' +
        'hint: look at them, then: git env allow\n',
    })
    expect(existsSync(project.path('log'))).toBe(false)
    expect(await project.ok('allow')).toContain(
      '  to dump box it runs: ./program dump\n  to restore box it runs: ./program restore\n',
    )
    expect(await project.ok('doctor')).toContain(
      'ok       box: dumped by ./program dump, restored by ./program restore, each within 600 s; live:',
    )
    expect(existsSync(project.path('log'))).toBe(false)
  })

  test('comes back with everything else, undo takes that back, and an export holds the very dump', async () => {
    const project = await projectWithCommand()
    await project.ok('allow')
    await project.ok('snapshot', '-m', 'good')
    expect(await project.ok('show')).toContain('box  command  5 B, live\n  live: dump\n')
    writeFileSync(project.path('items'), 'second')
    project.sql('DELETE FROM notes')
    expect(await project.ok('diff')).toContain('box: 1 dump changed\n')
    await project.ok('restore', '--yes')
    expect([items(project), project.sql('SELECT count(*) AS n FROM notes')]).toEqual(['first', [{ n: 100 }]])
    await project.ok('undo')
    expect([items(project), project.sql('SELECT count(*) AS n FROM notes')]).toEqual(['second', [{ n: 0 }]])
    await project.ok('undo', '--redo')
    expect(items(project)).toBe('first')
    const folder = await temporaryDirectory()
    await project.ok('export', 'latest', path.join(folder, 'all.tar'))
    expect(execFileSync('tar', ['-xOf', path.join(folder, 'all.tar'), 'box/box.dump'], { encoding: 'utf8' })).toBe(
      'first',
    )
    expect(await project.run(['restore', '--only', 'box:dump', '--yes'])).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('error: box: a dump is restored whole\n'),
    })
  })

  test('whose dump fails is in no snapshot, and nothing else is', async () => {
    const project = await projectWithCommand()
    await project.ok('allow')
    writeFileSync(project.path('trouble'), 'dump_status=3; echo "out of order" >&2')
    const failed = await project.run(['snapshot'])
    expect(failed).toMatchObject({
      status: 6,
      stderr: expect.stringContaining(
        'error: box: the dump command ./program dump did not work: it ended with status 3: out of order\n',
      ),
    })
    expect(await project.json('log', '--snapshots')).toEqual([])
  })

  test('whose restore fails is put back as it was by the same command, and so is all the rest', async () => {
    const project = await projectWithCommand()
    await project.ok('allow')
    writeFileSync(project.path('items'), 'bad')
    await project.ok('snapshot')
    writeFileSync(project.path('items'), 'second')
    project.sql('DELETE FROM notes')
    const failed = await project.run(['restore', '--yes'])
    expect(failed).toMatchObject({
      status: 6,
      stderr: expect.stringContaining(
        'error: box: the restore command ./program restore did not work: it ended with status 7; everything was put back as it was\n',
      ),
    })
    expect([items(project), project.sql('SELECT count(*) AS n FROM notes')]).toEqual(['second', [{ n: 0 }]])
  })

  test('is restored whole also when git-env and its guard are killed in the middle', async () => {
    const project = await projectWithCommand()
    await project.ok('allow')
    await project.ok('snapshot')
    writeFileSync(project.path('items'), 'second')
    writeFileSync(project.path('trouble'), 'pause=60')
    const running = start(project, ['restore', '--yes'])
    const guard = await running.at('command: begun')
    process.kill(running.pid, 'SIGKILL')
    process.kill(guard, 'SIGKILL')
    writeFileSync(project.path('trouble'), '')
    await project.ok('recover')
    expect(items(project)).toBe('first')
    await project.ok('undo')
    expect(items(project)).toBe('second')
  })
})

describe('a service that is rebuilt', () => {
  async function projectWithRebuild(program: string): Promise<Project> {
    const project = await makeProject()
    writeFileSync(project.path('.gitignore'), 'data/\nuploads/\nindexed\n')
    writeFileSync(project.path('reindex'), `#!/bin/sh\n${program}\n`)
    chmodSync(project.path('reindex'), 0o755)
    const config = readFileSync(project.path('.git-env.yaml'), 'utf8')
    const service = '{ type: opensearch, url: "http://127.0.0.1:9200", rebuild: [./reindex, all] }'
    writeFileSync(project.path('.git-env.yaml'), config.replace('services:\n', `services:\n  search: ${service}\n`))
    await project.git('add', '.')
    await project.git('commit', '-qm', 'a search index')
    return project
  }
  /** What a search index is made of: what the database holds at that moment. */
  const reindex = `sqlite=$(cat data/app.sqlite | wc -c); echo "$1 $GIT_ENV_ENVIRONMENT" >>indexed`
  const indexed = (project: Project) =>
    existsSync(project.path('indexed')) ? readFileSync(project.path('indexed'), 'utf8') : ''

  test('has no data in a snapshot, and is built again after each restore of data', async () => {
    const project = await projectWithRebuild(reindex)
    await project.ok('snapshot')
    expect(
      (await project.json<{ manifest: { services: { name: string }[] } }>('show')).manifest.services.map(
        ({ name }) => name,
      ),
    ).toEqual(['app', 'uploads'])
    expect(await project.run(['restore', '--yes'])).toMatchObject({
      status: 3,
      stderr:
        'error: the configuration wants to rebuild search by a command: ./reindex all\nhint: look at it, then: git env allow\n',
    })
    expect(await project.ok('allow')).toContain('  search is rebuilt by a command: ./reindex all\n')
    expect(await project.ok('doctor')).toContain(
      'ok       search: not stored; rebuilt after a restore by ./reindex all\n',
    )
    expect(await project.ok('restore', '--yes')).toContain('  search   rebuilt by ./reindex all')
    expect(indexed(project)).toBe('all main\n')
    await project.ok('undo')
    expect(indexed(project)).toBe('all main\nall main\n')
    await project.ok('restore', '--code-only', '--yes')
    expect(indexed(project)).toBe('all main\nall main\n')
    expect(await project.run(['restore', '--only', 'search', '--yes'])).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('error: search is not restored: it is rebuilt by a command after each restore\n'),
    })
  })

  test('that cannot be built again is told, with the command, and what was restored stays', async () => {
    const project = await projectWithRebuild('echo "no index today" >&2; exit 9')
    await project.ok('allow')
    await project.ok('snapshot')
    project.sql('DELETE FROM notes')
    const ran = await project.run(['restore', '--yes'])
    expect(ran).toMatchObject({
      status: 0,
      stderr: expect.stringContaining(
        'warning: search is not up to date: ./reindex all did not work: it ended with status 9: no index today; when that is mended, run it again\n',
      ),
    })
    expect(project.sql('SELECT count(*) AS n FROM notes')).toEqual([{ n: 100 }])
  })

  test('is built again by the next command when the guard was killed meanwhile', async () => {
    const project = await projectWithRebuild('echo begun >>indexed; [ -e quick ] || sleep 60; echo built >>indexed')
    await project.ok('allow')
    await project.ok('snapshot')
    const running = start(project, ['restore', '--yes'])
    const guard = await running.at('journal: settled')
    await until(() => indexed(project) || undefined, 'the rebuild')
    process.kill(running.pid, 'SIGKILL')
    process.kill(guard, 'SIGKILL')
    writeFileSync(project.path('quick'), '')
    await project.ok('recover')
    expect(indexed(project)).toBe('begun\nbegun\nbuilt\n')
  })
})
