import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { SnapshotCommit } from '../../src/git/git-repository.ts'
import { readSnapshotCache, writeSnapshotCache } from '../../src/git/snapshot-cache.ts'

const full: SnapshotCommit = {
  id: '01j00000000000000000000005',
  commit: 'a'.repeat(40),
  parent: 'b'.repeat(40),
  tree: 'c'.repeat(40),
  environment: 'feature/ä',
  name: 'before-upgrade',
  message: 'ünïcode, and "quotes"',
  trigger: 'push',
  manifest: 'd'.repeat(64),
  code: 'e'.repeat(40),
  partial: true,
  createdAt: new Date('2026-01-02T03:04:05.678Z'),
  expiresAt: new Date('2026-01-16T03:04:05.678Z'),
  changes: 'f'.repeat(40),
}
const spare: SnapshotCommit = {
  ...full,
  commit: '1'.repeat(40),
  name: undefined,
  message: '',
  partial: false,
  expiresAt: undefined,
  changes: undefined,
}

let directory: string
let file: string
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'git-env-cache-'))
  file = path.join(directory, 'cache', 'snapshots')
})
afterEach(() => rm(directory, { recursive: true }))

it('gives back what it was given, also which commits are no snapshots', async () => {
  const cached = new Map([
    [full.commit, full],
    [spare.commit, spare],
    ['2'.repeat(40), null],
  ])
  await writeSnapshotCache(file, cached)
  expect(await readSnapshotCache(file)).toEqual(cached)
})

it('leaves out a snapshot whose text would break a line', async () => {
  const strange = { ...full, commit: '3'.repeat(40), environment: 'a\tb' }
  await writeSnapshotCache(file, new Map([strange, full].map((each) => [each.commit, each])))
  expect([...(await readSnapshotCache(file)).keys()]).toEqual([full.commit])
})

it('counts as empty when it is missing, cut short anywhere, or of another version', async () => {
  expect((await readSnapshotCache(file)).size).toBe(0)
  await writeSnapshotCache(file, new Map([full, spare].map((each) => [each.commit, each])))
  const text = await readFile(file, 'utf8')
  for (let length = 0; length < text.length; length++) {
    await writeFile(file, text.slice(0, length))
    expect((await readSnapshotCache(file)).size).toBe(0)
  }
  await writeFile(file, text.replace('snapshots 3', 'snapshots 2'))
  expect((await readSnapshotCache(file)).size).toBe(0)
})
