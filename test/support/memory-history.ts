import isomorphicGit from 'isomorphic-git'
import { memfs } from 'memfs'
import { parseSnapshotMessage } from '../../src/domain/snapshot-message.ts'
import type { GitRepository, SnapshotCommit } from '../../src/git/git-repository.ts'

export type SnapshotHistory = Pick<GitRepository, 'head' | 'record' | 'snapshots' | 'snapshot' | 'snapshotAt'>

const author = { name: 'Ada', email: 'ada@example.org', timestamp: 1_763_000_000, timezoneOffset: 0 }
const dir = '/project'

/** A history of snapshots in memory: isomorphic-git on memfs, for what needs no git binary. One branch, no concurrency. */
export async function memoryHistory(): Promise<
  SnapshotHistory & { commitFile(name: string, content: string): Promise<string> }
> {
  const { fs } = memfs()
  const repository = { fs, dir }
  await fs.promises.mkdir(dir)
  await isomorphicGit.init({ ...repository, defaultBranch: 'main' })
  const resolve = (ref: string) => isomorphicGit.resolveRef({ ...repository, ref }).catch(() => undefined)
  const read = async (revision: string): Promise<SnapshotCommit | undefined> => {
    const oid = (await resolve(revision)) ?? revision
    const { commit } = await isomorphicGit.readCommit({ ...repository, oid })
    const facts = parseSnapshotMessage(commit.message)
    const parent = commit.parent[0]
    if (!facts || parent === undefined || commit.parent.length > 1) return undefined
    const { commit: before } = await isomorphicGit.readCommit({ ...repository, oid: parent })
    if (before.tree !== commit.tree) return undefined
    const { createdAt, code } = facts
    return {
      ...facts,
      commit: oid,
      parent,
      tree: commit.tree,
      code: code ?? parent,
      createdAt: createdAt ?? new Date(0),
    }
  }
  const snapshot = async (id: string) =>
    (await resolve(`refs/env/snapshots/${id}`)) ? read(`refs/env/snapshots/${id}`) : undefined
  return {
    head: async () => {
      const commit = await resolve('HEAD')
      const tree = commit && (await isomorphicGit.readCommit({ ...repository, oid: commit })).commit.tree
      return { ref: 'refs/heads/main', commit, tree }
    },
    record: async ({ id, placement, parent, message }) => {
      const { tree } = (await isomorphicGit.readCommit({ ...repository, oid: parent })).commit
      const commit = { message, tree, parent: [parent], author, committer: author }
      const oid = await isomorphicGit.writeCommit({ ...repository, commit })
      await isomorphicGit.writeRef({ ...repository, ref: `refs/env/snapshots/${id}`, value: oid })
      if (placement === 'branch')
        await isomorphicGit.writeRef({ ...repository, ref: 'refs/heads/main', value: oid, force: true })
      return oid
    },
    snapshots: async ({ limit } = {}) => {
      const ids = await isomorphicGit.listRefs({ ...repository, filepath: 'refs/env/snapshots' })
      const all = await Promise.all(ids.sort().reverse().slice(0, limit).map(snapshot))
      return all.filter((each) => each !== undefined)
    },
    snapshot,
    snapshotAt: read,
    commitFile: async (name, content) => {
      await fs.promises.writeFile(`${dir}/${name}`, content)
      await isomorphicGit.add({ ...repository, filepath: name })
      return isomorphicGit.commit({ ...repository, message: `add ${name}`, author })
    },
  }
}
