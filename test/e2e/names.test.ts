import { rm } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeProject, type Project, Project as ProjectOf } from '../support/project.ts'
import { temporaryDirectory } from '../support/temporary.ts'

async function note(project: Project): Promise<unknown> {
  return project.sql('SELECT text FROM notes WHERE id = 1')[0]?.['text']
}

async function takeThree(project: Project): Promise<string[]> {
  for (const text of ['one', 'two', 'three']) {
    project.sql(`UPDATE notes SET text = '${text}' WHERE id = 1`)
    await project.ok('snapshot', '-m', text, '--name', `${text}-named`)
  }
  const snapshots = await project.json<{ id: string }[]>('log', '--snapshots')
  return snapshots.map(({ id }) => id).reverse()
}

describe('a snapshot', () => {
  test('is called by id, beginning of it, name, latest, date, or a revision that carries it', async () => {
    const project = await makeProject()
    const [one, two, three] = await takeThree(project)
    await project.git('tag', 'v2', 'HEAD~1')
    const called = async (name: string) => (await project.json<{ snapshot: { id: string } }>('show', name)).snapshot.id
    expect(await called(one!)).toBe(one)
    expect(await called(one!.toUpperCase())).toBe(one)
    expect(await called(two!.slice(0, 20))).toBe(two)
    expect(await called('one-named')).toBe(one)
    expect([await called('latest'), await called('latest~1'), await called('latest~2')]).toEqual([three, two, one])
    expect([await called('v2'), await called('HEAD'), await called('main~2')]).toEqual([two, three, one])
    expect(await called('@{now}')).toBe(three)
    const early = await project.run(['show', '@{yesterday}'])
    expect(early).toMatchObject({ status: 4, stderr: expect.stringContaining('no snapshot is as old as @{yesterday}') })
    const ambiguous = await project.run(['show', one!.slice(0, 4)])
    expect(ambiguous).toMatchObject({ status: 2, stderr: expect.stringContaining('begins the ids of 3 snapshots') })
  })

  test('that is partial, or taken before a restore, is never the latest', async () => {
    const project = await makeProject()
    const [, , three] = await takeThree(project)
    await project.ok('snapshot', '--only', 'app', '-m', 'partial')
    await project.ok('restore', '--yes', 'one-named')
    expect((await project.json<{ snapshot: { id: string } }>('show')).snapshot.id).toBe(three)
  })

  test('that was taken last is the latest, also when the clock was set back since the one before', async () => {
    const project = await makeProject()
    await project.ok('snapshot', '-m', 'by a clock that was ahead')
    const [{ id }] = await project.json<[{ id: string }]>('log', '--snapshots')
    const ahead = `${id.slice(0, 2)}z${id.slice(3)}`
    const message = (await project.git('log', '-1', '--format=%B')).replace(id, ahead)
    const commit = await project.git('commit-tree', 'HEAD^{tree}', '-p', 'HEAD~1', '-m', message)
    await project.git('update-ref', '-d', `refs/env/snapshots/${id}`)
    await project.git('update-ref', `refs/env/snapshots/${ahead}`, commit)
    await project.git('reset', '-q', '--hard', commit)
    const latest = async () => {
      const [first] = await project.json<{ id: string; message: string }[]>('log', '--snapshots')
      return [first!.id > ahead, first!.message]
    }
    expect(await latest()).toEqual([false, 'by a clock that was ahead'])
    await project.ok('snapshot', '-m', 'by a clock that is right')
    expect(await latest()).toEqual([true, 'by a clock that is right'])
    await project.ok('restore', '--yes')
    expect(await project.git('log', '-1', '--format=%s')).toBe('restore: by a clock that is right')
  })

  test('is still found after a rebase, a lost reference and in a clone, by reindex', async () => {
    const project = await makeProject()
    const [one, two, three] = await takeThree(project)
    await project.git('commit', '-q', '--allow-empty', '-m', 'more code')
    await project.git('rebase', '-q', '--root', '--force-rebase')
    expect((await project.json<{ snapshot: { id: string } }>('show', 'HEAD~1')).snapshot.id).toBe(three)
    for (const id of [one, two, three]) await project.git('update-ref', '-d', `refs/env/snapshots/${id}`)
    expect(await project.json('log', '--snapshots')).toEqual([])
    expect(await project.ok('reindex')).toContain('3 snapshots found again')
    await project.ok('restore', '--yes', one!)
    expect(await note(project)).toBe('one')
  })
})

describe('an environment', () => {
  test('gets its own snapshots only, unless --to names it', async () => {
    const project = await makeProject()
    await takeThree(project)
    await project.git('checkout', '-q', '-b', 'feature')
    const refused = await project.run(['restore', '--yes', 'two-named'])
    expect(refused).toMatchObject({ status: 3 })
    expect(refused.stderr).toMatch(
      /is a snapshot of main, and feature is checked out here\nhint: git switch main first; or give --to feature/,
    )
    expect(await project.run(['restore', '--yes'])).toMatchObject({ status: 4 })
    await project.ok('restore', '--yes', '--to', 'feature', 'two-named')
    expect(await note(project)).toBe('two')
    expect(await project.git('symbolic-ref', '--short', 'HEAD')).toBe('feature')
    expect(await project.ok('list')).toMatch(/^\* +feature +0 snapshots.*\n +main +3 snapshots/)
  })

  test('can be checked out in a linked work tree, with files of its own', async () => {
    const project = await makeProject()
    const directory = path.join(await temporaryDirectory(), 'linked')
    await project.git('worktree', 'add', '-q', '-b', 'feature', directory)
    const linked = new ProjectOf(directory, project.home)
    await linked.git('status')
    const { cp } = await import('node:fs/promises')
    await cp(project.path('data'), linked.path('data'), { recursive: true })
    await cp(project.uploads, linked.uploads, { recursive: true })
    linked.sql(`UPDATE notes SET text = 'linked' WHERE id = 1`)
    await linked.ok('snapshot', '-m', 'in the linked one')
    await rm(linked.uploads, { recursive: true })
    linked.sql('DELETE FROM notes')
    await linked.ok('restore', '--yes')
    expect(await note(linked)).toBe('linked')
    expect(await note(project)).toMatch(/^note 0/)
    await linked.ok('undo')
    expect(await note(linked)).toBeUndefined()
    expect(await project.run(['undo'])).toMatchObject({ status: 3 })
  })

  test('with a detached HEAD, or in the middle of a rebase, keeps the branch as it is', async () => {
    const project = await makeProject()
    await project.git('checkout', '-q', '--detach')
    const commit = await project.git('rev-parse', 'HEAD')
    await project.ok('snapshot', '-m', 'detached')
    expect(await project.git('rev-parse', 'HEAD')).toBe(commit)
    expect(await project.json('log', '--snapshots')).toMatchObject([{ environment: 'detached' }])
    await project.git('checkout', '-q', 'main')
    await project.git('commit', '-q', '--allow-empty', '-m', 'second')
    await expect(project.git('rebase', '-q', '--exec', 'false', 'HEAD~1')).rejects.toThrow()
    const refused = await project.run(['restore', '--yes', '--to', 'detached', 'latest'])
    expect(refused.status).not.toBe(0)
    expect(refused.stderr).toMatch(/^error: /)
    await project.git('rebase', '--abort')
  })
})
