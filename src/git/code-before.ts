import { randomBytes } from 'node:crypto'
import { copyFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { systemCode } from '../domain/errors.ts'
import { blobsOf } from './blobs.ts'
import { resolveObjects } from './commits.ts'
import { indexLine, type KeptChanges, updateIndex, writeKeptCommits, writeTree } from './keep-changes.ts'
import { type RecordContext, updateRefs } from './record.ts'
import { filesBelow } from './set-aside.ts'
import type { SwapContext } from './swap-files.ts'
import { readPlan } from './swap-files.ts'
import { treeFiles } from './tree-diff.ts'
import { commitTree } from './write-commit.ts'

const keptRefs = 'refs/env/kept/'

/**
 * The uncommitted code right before the swap: what the last capture kept, with what the set-asides show to have come after it
 * or to be ignored by Git, which no capture takes.
 */
export async function recordBefore(
  repository: RecordContext,
  context: SwapContext,
  captured: KeptChanges | undefined,
  headTree: string,
): Promise<KeptChanges | undefined> {
  const { git, staged, aside } = context
  const base = captured ? await treeFiles(git, captured.commit) : await treeFiles(git, headTree)
  const files = new Map<string, string>()
  for (const [name, file] of await aside.earliest()) {
    const root = file.toString('latin1').slice(0, -name.length)
    const inside = await filesBelow(Buffer.from(root, 'latin1').toString('utf8'), name)
    for (const each of inside.length > 0 ? inside : [name]) files.set(each, root)
  }
  const changed: string[] = []
  const added: string[] = []
  for (const [root, names] of byRoot(files)) {
    const blobs = await blobsOf(git, root, names, { filters: false, write: true })
    for (const [name, blob] of blobs) {
      const known = base.get(name)
      if (known?.id === blob.id && known.mode === blob.mode) continue
      changed.push(indexLine(name, blob, staged.old.length))
      added.push(name)
    }
  }
  const plan = await readPlan(context)
  const gone = plan.deleted.filter((name) => base.has(name) && !files.has(name))
  if (changed.length === 0 && gone.length === 0) return captured
  return rebuild(repository, context, captured, {
    lines: [...changed, ...gone.map((name) => indexLine(name, undefined, staged.old.length))],
    added,
    headTree,
  })
}

function byRoot(files: ReadonlyMap<string, string>): Map<string, string[]> {
  const roots = new Map<string, string[]>()
  for (const [name, root] of files) {
    const text = Buffer.from(root, 'latin1').toString('utf8').replace(/\/$/, '')
    roots.set(text, [...(roots.get(text) ?? []), name])
  }
  return roots
}

async function rebuild(
  { git, location }: RecordContext,
  { staged }: SwapContext,
  captured: KeptChanges | undefined,
  differing: { readonly lines: readonly string[]; readonly added: readonly string[]; readonly headTree: string },
): Promise<KeptChanges> {
  const name = () => path.join(location.gitDirectory, `git-env-index-${randomBytes(6).toString('hex')}`)
  const [tree, index, untracked] = [{ GIT_INDEX_FILE: name() }, { GIT_INDEX_FILE: name() }, { GIT_INDEX_FILE: name() }]
  try {
    await copyFile(path.join(staged.asideDirectory, 'index'), index.GIT_INDEX_FILE).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error
    })
    const indexTree = await writeTree(git, index)
    const inIndex = await treeFiles(git, indexTree)
    await git.run(['read-tree', captured?.commit ?? differing.headTree], { env: tree })
    await updateIndex(git, tree, differing.lines)
    const others = (await resolveObjects(git, [`${captured?.commit}^3`])).get(`${captured?.commit}^3`)
    if (others) await git.run(['read-tree', others], { env: untracked })
    const isNew = new Set(differing.added.filter((each) => !inIndex.has(each)))
    const lines = differing.lines.filter((line) => isNew.has(line.slice(line.indexOf('\t') + 1, -1)))
    await updateIndex(git, untracked, lines)
    const commit = await writeKeptCommits(git, staged.old, {
      tree: await writeTree(git, tree),
      indexTree,
      untrackedTree: others || lines.length > 0 ? await writeTree(git, untracked) : undefined,
    })
    return { commit, files: (captured?.files ?? 0) + differing.added.length }
  } finally {
    for (const { GIT_INDEX_FILE } of [tree, index, untracked]) await rm(GIT_INDEX_FILE, { force: true })
  }
}

/**
 * Set-asides that belong to no state, made while a restore was going on, stay in the repository as `refs/env/kept/<id>`:
 * one folder for each time that something was set aside.
 */
export async function saveLeftovers(repository: RecordContext, context: SwapContext): Promise<void> {
  const { git, staged, aside } = context
  const home = new Set([...(await aside.earliest()).values()].map((file) => file.toString('latin1')))
  const left = (await aside.everything()).filter(({ file }) => {
    const name = file.toString('latin1')
    return ![...home].some((each) => name === each || name.startsWith(`${each}/`))
  })
  if (left.length === 0) return
  const env = {
    GIT_INDEX_FILE: path.join(repository.location.gitDirectory, `git-env-index-${randomBytes(6).toString('hex')}`),
  }
  try {
    const lines: string[] = []
    for (const { pass, path: name, file } of left) {
      const root = file.toString('latin1').slice(0, -name.length - 1)
      const blobs = await blobsOf(git, Buffer.from(root, 'latin1').toString('utf8'), [name], {
        filters: false,
        write: true,
      })
      const blob = blobs.get(name)
      if (blob) lines.push(indexLine(`${pass}/${name}`, blob, staged.old.length))
    }
    await updateIndex(git, env, lines)
    const commit = await commitTree(
      git,
      {
        tree: await writeTree(git, env),
        parents: [staged.old],
        message: `git-env: edited during restore ${staged.id}\n`,
      },
      false,
    )
    await updateRefs(git, [`update ${keptRefs}${staged.id} ${commit}`], `env restore ${staged.id}`)
    context.step('later edits kept')
  } finally {
    await rm(env.GIT_INDEX_FILE, { force: true })
  }
}
