import { rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { gitSandbox } from '../support/git-sandbox.ts'
import { takeSample } from '../support/sample-snapshot.ts'

test('a squash whose message ends in the trailers of a snapshot is no snapshot', async () => {
  const box = await gitSandbox()
  box.write('a', '1')
  box.commit('first')
  box.git('switch', '-q', '-c', 'topic')
  box.write('a', '2')
  box.commit('second')
  const repository = await box.open()
  const { id } = await takeSample(repository, { ref: 'refs/heads/topic' })
  const message = box.git('log', '-1', '--format=%B', 'topic')
  box.git('switch', '-q', 'main')
  box.git('merge', '-q', '--squash', 'topic')
  const squash = box.gitWith(`All of topic\n\n* ${message}`, 'commit', '-q', '-F', '-') || box.git('rev-parse', 'HEAD')

  expect(await repository.snapshotAt('main')).toBeUndefined()
  expect((await repository.log({ from: 'main' }))[0]).toMatchObject({ commit: squash, snapshot: undefined })
  box.git('update-ref', '-d', `refs/env/snapshots/${id}`)
  box.git('branch', '-q', '-D', 'topic')
  expect(await repository.reindex()).toEqual({ created: [], known: 0, mentions: [squash] })
  expect(await repository.snapshot(id)).toBeUndefined()
})

test('a rebased snapshot is found by its revision, and says to which code its data belongs', async () => {
  const box = await gitSandbox()
  box.write('a', '1')
  const base = box.commit('first')
  box.git('switch', '-q', '-c', 'topic')
  box.write('b', '1')
  const code = box.commit('second')
  const repository = await box.open()
  const { id, commit } = await takeSample(repository, { ref: 'refs/heads/topic' })
  box.git('switch', '-q', 'main')
  box.write('c', '1')
  box.commit('third')
  box.git('switch', '-q', 'topic')
  box.git('rebase', '-q', 'main')

  const copy = await repository.snapshotAt('topic')
  expect(copy).toMatchObject({ id, code })
  expect(copy!.commit).not.toBe(commit)
  expect(await repository.snapshot(id)).toMatchObject({ commit, parent: code })
  box.git('update-ref', '-d', `refs/env/snapshots/${id}`)
  expect((await repository.snapshot(id))!.commit).toBe(copy!.commit)
  expect(box.git('rev-parse', `refs/env/snapshots/${id}`)).toBe(copy!.commit)
  expect(base).not.toBe(code)
})

test('a branch that is deleted, reflogs expired, and gc leave the snapshot and its code', async () => {
  const box = await gitSandbox()
  box.commit('first')
  box.git('switch', '-q', '-c', 'topic')
  box.write('b', '1')
  const code = box.commit('second')
  const repository = await box.open()
  const { id } = await takeSample(repository, { ref: 'refs/heads/topic', environment: 'topic' })
  box.git('switch', '-q', 'main')
  box.git('branch', '-q', '-D', 'topic')
  box.git('reflog', 'expire', '--expire=now', '--all')
  box.git('gc', '-q', '--prune=now')
  expect(await repository.snapshot(id)).toMatchObject({ id, code })
  expect(await repository.commit(code)).toMatchObject({ commit: code })
})

test('reindex makes lost refs again, but for those that it is to skip', async () => {
  const box = await gitSandbox()
  box.commit('first')
  const repository = await box.open()
  const first = await takeSample(repository)
  const second = await takeSample(repository)
  const third = await takeSample(repository)
  for (const { id } of [first, second]) box.git('update-ref', '-d', `refs/env/snapshots/${id}`)
  expect(await repository.reindex({ skip: new Set([second.id]) })).toEqual({
    created: [first.id],
    known: 1,
    mentions: [],
  })
  expect((await repository.snapshots()).map(({ id }) => id)).toEqual([third.id, first.id])
})

test('the log shows code and snapshots together, side snapshots of the environment by date', async () => {
  const box = await gitSandbox()
  const dated = (date: string) => Object.assign(box.environment, { GIT_COMMITTER_DATE: date, GIT_AUTHOR_DATE: date })
  dated('2026-11-20T08:00:00Z')
  box.commit('first')
  const repository = await box.open()
  const at = (createdAt: string, more = {}) => takeSample(repository, { placement: 'side', createdAt, ...more })
  const side = await at('2026-11-20T09:00:00.000Z', { trigger: 'safety', message: 'before restore' })
  await at('2026-11-20T09:30:00.000Z', { environment: 'other' })
  dated('2026-11-20T10:00:00Z')
  box.write('b', 'b')
  const second = box.commit('second\nline')
  box.git('tag', 'v1')
  dated('2026-11-20T11:00:00Z')
  const late = await box.open()
  const { id } = await takeSample(late, { createdAt: '2026-11-20T11:00:00.000Z' })

  const entries = await late.log({ from: 'HEAD', environment: 'main' })
  expect(entries.map(({ subject }) => subject)).toEqual([
    'snapshot: before upgrade',
    'second line',
    'snapshot: before restore',
    'first',
  ])
  expect(entries[0]).toMatchObject({ refs: ['refs/heads/main'], snapshot: { id }, author: 'Ada' })
  expect(entries[1]).toMatchObject({ commit: second, refs: ['refs/tags/v1'], snapshot: undefined })
  expect(entries[2]).toMatchObject({ snapshot: { id: side.id }, author: 'Ada' })
  expect((await late.log({ from: 'HEAD', environment: 'main', limit: 3 })).map(({ commit }) => commit)).toEqual(
    entries.slice(0, 3).map(({ commit }) => commit),
  )
  expect(await late.log({ from: 'no-such' })).toEqual([])
  const graph = await late.graph({ from: 'HEAD', environment: 'main' })
  expect(graph.map(({ prefix, entry }) => `${prefix} ${entry?.subject ?? ''}`.trimEnd())).toEqual([
    '* snapshot: before upgrade',
    '* second line',
    '| * snapshot: before restore',
    '|/',
    '* first',
  ])
})

test('settings that change what git log prints change nothing', async () => {
  const box = await gitSandbox()
  for (const [key, value] of [
    ['color.ui', 'always'],
    ['log.showSignature', 'true'],
    ['log.decorate', 'full'],
    ['format.pretty', 'oneline'],
    ['i18n.commitEncoding', 'ISO-8859-1'],
    ['i18n.logOutputEncoding', 'ISO-8859-1'],
    ['diff.renames', 'copies'],
    ['core.quotePath', 'true'],
    ['status.showUntrackedFiles', 'no'],
    ['status.relativePaths', 'false'],
  ]) {
    box.git('config', key!, value!)
  }
  box.write('ä', '1')
  const first = box.commit('first')
  box.git('mv', 'ä', 'ö')
  const second = box.commit('second')
  const repository = await box.open()
  await takeSample(repository, { message: 'für Ä' })
  expect((await repository.snapshots())[0]!.message).toBe('für Ä')
  expect((await repository.log({ from: 'HEAD' })).map(({ subject }) => subject)).toEqual([
    'snapshot: für Ä',
    'second',
    'first',
  ])
  expect(await repository.diffStat(first, second)).toEqual({ added: 1, changed: 0, removed: 1 })
  box.write('new', '')
  expect((await repository.code.status({ exclude: new Set() })).untracked).toEqual(['new'])
})

test('a file of a commit is read without being checked out, and dates are read as git reads them', async () => {
  const box = await gitSandbox()
  box.write('dir/ä.txt', 'content\n')
  const first = box.commit('first')
  rmSync(`${box.directory}/dir`, { recursive: true })
  const repository = await box.open()
  expect(Buffer.from((await repository.readFile(first, 'dir/ä.txt'))!).toString()).toBe('content\n')
  expect(await repository.readFile(first, 'no-such')).toBeUndefined()
  expect(await repository.date('2026-11-20T10:00:00Z')).toEqual(new Date('2026-11-20T10:00:00Z'))
})

test('a revision that is no commit, or is hostile, names nothing', async () => {
  const box = await gitSandbox()
  const commit = box.commit('first')
  const repository = await box.open()
  expect(await repository.commit('HEAD~0')).toMatchObject({ commit, parents: [] })
  for (const name of ['nope', '--all', '-1', 'HEAD\nHEAD', '', 'HEAD..HEAD', '$(touch x)', '\x1b[31m', 'HEAD^{tree}']) {
    expect(await repository.commit(name), JSON.stringify(name)).toBeUndefined()
    expect(await repository.snapshotAt(name), JSON.stringify(name)).toBeUndefined()
  }
})

test('a shallow clone shows the snapshot at which its history ends', async () => {
  const box = await gitSandbox()
  box.commit('first')
  const repository = await box.open()
  const { id, commit } = await takeSample(repository)
  box.gitIn('/', 'clone', '-q', '--depth=1', `file://${box.directory}`, `${box.directory}-shallow`)
  const shallow = await box.open(`${box.directory}-shallow`)
  expect(await shallow.snapshotAt('HEAD')).toMatchObject({ id, commit })
})
