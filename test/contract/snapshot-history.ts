import { describe, expect, test } from 'vitest'
import type { SnapshotHistory } from '../support/memory-history.ts'
import { sampleSnapshot, takeSample } from '../support/sample-snapshot.ts'

type Subject = SnapshotHistory & {
  /** Commits a file to the branch. */
  readonly commitFile: (name: string, content: string) => Promise<string>
}

/** What every history of snapshots must do, whatever writes it. */
export function testSnapshotHistory(name: string, open: () => Promise<Subject>): void {
  describe(`snapshot history: ${name}`, () => {
    test('a snapshot on the branch has the tree of its parent and becomes HEAD', async () => {
      const history = await open()
      const code = await history.commitFile('a', 'a')
      const { tree } = await history.head()
      const { commit } = await takeSample(history)
      expect(await history.head()).toEqual({ ref: 'refs/heads/main', commit, tree })
      expect(await history.snapshotAt('HEAD')).toMatchObject({ commit, parent: code, code, tree })
    })

    test('a side snapshot is found by its id and leaves HEAD alone', async () => {
      const history = await open()
      const code = await history.commitFile('a', 'a')
      const { id, commit } = await takeSample(history, { placement: 'side', trigger: 'safety' })
      expect((await history.head()).commit).toBe(code)
      expect(await history.snapshot(id)).toMatchObject({ id, commit, parent: code, trigger: 'safety' })
      expect(await history.snapshotAt('HEAD')).toBeUndefined()
    })

    test('everything that is said of a snapshot is read back', async () => {
      const history = await open()
      await history.commitFile('a', 'a')
      const { commit, tree } = await history.head()
      const facts = {
        id: '01jd3k00000000000000000001',
        message: 'before upgrade: ünïcode "quoted" \x1b[31m',
        environment: 'feature/x',
        name: 'golden',
        partial: true,
        trigger: 'schedule' as const,
        createdAt: '2026-11-20T10:00:00.123Z',
      }
      const recorded = await history.record(sampleSnapshot({ commit: commit!, tree: tree! }, facts))
      expect(await history.snapshot(facts.id)).toEqual({
        ...facts,
        message: 'before upgrade: ünïcode "quoted" [31m',
        createdAt: new Date(facts.createdAt),
        expiresAt: new Date('2026-12-04T10:00:00.000Z'),
        commit: recorded,
        parent: commit,
        code: commit,
        tree,
        manifest: 'a'.repeat(64),
        changes: undefined,
      })
    })

    test('snapshots are listed newest first, as many as are asked for', async () => {
      const history = await open()
      await history.commitFile('a', 'a')
      const ids = []
      for (let i = 1; i <= 4; i++) {
        const placement = i % 2 ? 'branch' : 'side'
        ids.unshift((await takeSample(history, { id: `01jd3k0000000000000000000${i}`, placement })).id)
      }
      expect((await history.snapshots()).map(({ id }) => id)).toEqual(ids)
      expect((await history.snapshots({ limit: 2 })).map(({ id }) => id)).toEqual(ids.slice(0, 2))
    })

    test('an id that no snapshot has is not found', async () => {
      const history = await open()
      await history.commitFile('a', 'a')
      expect(await history.snapshot('01jd3k0000000000000000000z')).toBeUndefined()
      expect(await history.snapshots()).toEqual([])
    })
  })
}
