import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { systemCode } from '../domain/errors.ts'

/** Something that Git has begun in one work tree and not finished. */
export type Operation = {
  /** With its article: `a rebase`. */
  readonly name: string
  /** The Git folder of the work tree it is in. */
  readonly gitDirectory: string
  /** Full names of the branches it is about to move, or that HEAD is on. */
  readonly refs: readonly string[]
  /** A branch that it moves at its end, so that nobody else may. */
  readonly movesBranch: boolean
}

/** All operations in progress, in every work tree of the repository. Reads files only. */
export async function operationsInProgress(commonDirectory: string): Promise<Operation[]> {
  const linked = await names(path.join(commonDirectory, 'worktrees'))
  const directories = [commonDirectory, ...linked.map((name) => path.join(commonDirectory, 'worktrees', name))]
  return (await Promise.all(directories.map(operationsIn))).flat()
}

async function operationsIn(gitDirectory: string): Promise<Operation[]> {
  const present = new Set(await names(gitDirectory))
  const found: Operation[] = []
  for (const folder of ['rebase-merge', 'rebase-apply'].filter((name) => present.has(name))) {
    const inside = new Set(await names(path.join(gitDirectory, folder)))
    const heads = [await text(gitDirectory, folder, 'head-name')]
    if (inside.has('update-refs')) heads.push(...(await text(gitDirectory, folder, 'update-refs')).split('\n'))
    const name = inside.has('applying') ? 'a series of patches (git am)' : 'a rebase'
    found.push({ name, gitDirectory, refs: heads.filter(isBranch), movesBranch: true })
  }
  if (present.has('BISECT_START')) {
    const start = await text(gitDirectory, 'BISECT_START')
    const refs = [start.startsWith('refs/') ? start : `refs/heads/${start}`]
    found.push({ name: 'a bisect', gitDirectory, refs, movesBranch: true })
  }
  const onHead = Object.entries(headOperations).filter(([file]) => present.has(file))
  if (onHead.length === 0) return found
  const head = (await text(gitDirectory, 'HEAD')).replace(/^ref: /, '')
  for (const [, name] of onHead) found.push({ name, gitDirectory, refs: [head].filter(isBranch), movesBranch: false })
  return found
}

const headOperations: Readonly<Record<string, string>> = {
  MERGE_HEAD: 'a merge',
  CHERRY_PICK_HEAD: 'a cherry-pick',
  REVERT_HEAD: 'a revert',
}

function isBranch(ref: string): boolean {
  return ref.startsWith('refs/heads/')
}

async function names(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return []
    throw error
  }
}

async function text(...file: string[]): Promise<string> {
  try {
    return (await readFile(path.join(...file), 'utf8')).trim()
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return ''
    throw error
  }
}
