import type { Git } from './run-git.ts'

/** A side of a change: `160000` is a submodule's commit. */
export type TreeFile = { readonly mode: string; readonly id: string }

/** One path that differs between two trees. */
export type TreeChange = {
  readonly path: string
  readonly from: TreeFile | undefined
  readonly to: TreeFile | undefined
}

/** Paths that differ between two trees or commits, without renames, ordered by path. */
export async function treeDiff(git: Git, from: string, to: string): Promise<TreeChange[]> {
  const records = await git.list(['diff-tree', '-r', '-z', '--no-renames', '--raw', '--end-of-options', from, to])
  const changes: TreeChange[] = []
  for (let i = 0; i + 1 < records.length; i += 2) {
    const [fromMode = '', toMode = '', fromId = '', toId = ''] = records[i]!.slice(1).split(' ')
    changes.push({ path: records[i + 1]!, from: side(fromMode, fromId), to: side(toMode, toId) })
  }
  return changes
}

function side(mode: string, id: string): TreeFile | undefined {
  return mode === '000000' ? undefined : { mode, id }
}

/** Files of a tree by path. */
export async function treeFiles(git: Git, tree: string): Promise<Map<string, TreeFile>> {
  const files = new Map<string, TreeFile>()
  for (const record of await git.list(['ls-tree', '-r', '-z', '--full-tree', tree])) {
    const tab = record.indexOf('\t')
    const [mode = '', , id = ''] = record.slice(0, tab).split(' ')
    files.set(record.slice(tab + 1), { mode, id })
  }
  return files
}

export function isSubmodule(file: TreeFile | undefined): boolean {
  return file?.mode === '160000'
}
