import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { gitSandbox } from '../support/git-sandbox.ts'
import { sampleSnapshot, takeSample } from '../support/sample-snapshot.ts'

test('a snapshot is appended to the branch with its ref, and leaves index and work tree alone', async () => {
  const box = await gitSandbox()
  box.write('a.txt', 'a\n')
  const code = box.commit('first')
  box.write('a.txt', 'changed\n')
  box.write('staged.txt', 'staged\n')
  box.git('add', 'staged.txt')
  const before = box.git('status', '--porcelain')
  const repository = await box.open()

  const { id, commit } = await takeSample(repository)

  expect(box.git('rev-parse', 'main')).toBe(commit)
  expect(box.git('rev-parse', `refs/env/snapshots/${id}`)).toBe(commit)
  expect(box.git('rev-parse', `${commit}^`)).toBe(code)
  expect(box.git('diff', '--name-only', code, commit)).toBe('')
  expect(box.git('status', '--porcelain')).toBe(before)
  expect(box.git('fsck', '--strict')).toBe('')
})

test('a side snapshot leaves the branch where it is', async () => {
  const box = await gitSandbox()
  const code = box.commit('first')
  const repository = await box.open()

  const { id, commit } = await takeSample(repository, { placement: 'side' })

  expect(box.git('rev-parse', 'main')).toBe(code)
  expect(box.git('rev-parse', `refs/env/snapshots/${id}^`)).toBe(code)
  expect((await repository.snapshots())[0]).toMatchObject({ id, commit, parent: code, environment: 'main' })
})

test('a snapshot whose branch moved on to other code is refused', async () => {
  const box = await gitSandbox()
  box.commit('first')
  const repository = await box.open()
  const { commit, tree } = await repository.head()
  box.write('b.txt', 'b')
  const second = box.commit('second')

  const snapshot = sampleSnapshot({ commit: commit!, tree: tree! })
  await expect(repository.record(snapshot)).rejects.toMatchObject({ code: 'refused' })
  expect(box.git('rev-parse', 'main')).toBe(second)
  expect(existsSync(`${box.directory}/.git/refs/env/snapshots/${snapshot.id}`)).toBe(false)
})

test('a snapshot is appended after another of the same code', async () => {
  const box = await gitSandbox()
  box.commit('first')
  const repository = await box.open()
  const { commit, tree } = await repository.head()
  const first = await repository.record(sampleSnapshot({ commit: commit!, tree: tree! }))
  const second = await repository.record(sampleSnapshot({ commit: commit!, tree: tree! }))
  expect(box.git('rev-parse', 'main', 'main^')).toBe(`${second}\n${first}`)
})
