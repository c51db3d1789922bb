import { readFile } from 'node:fs/promises'
import { displayPath } from '../domain/tree.ts'
import { blobsOf } from './blobs.ts'
import { below } from './paths.ts'
import { type Git, gitFailure } from './run-git.ts'
import type { TreeFile } from './tree-diff.ts'
import { lstatOrUndefined } from './work-files.ts'

/** What a path may hold that a restore itself put there. */
export type Expected = {
  /** As Git checks them out, through filters. */
  readonly clean: readonly (TreeFile | undefined)[]
  /** Byte for byte. */
  readonly raw: TreeFile | undefined
}

/**
 * `torn`: the beginning of an expected file, whose writer was killed. `folder`: no file at all, and nothing said of what is in it.
 * `theirs`: anything else: a user's, not to be lost.
 */
export type Found = 'absent' | 'clean' | 'raw' | 'torn' | 'folder' | 'theirs'

export type FilesContext = { readonly git: Git; readonly top: string }

/** Looks at paths of the work tree and says for each whether a restore put it there. */
export async function lookAt(
  context: FilesContext,
  expected: ReadonlyMap<string, Expected>,
): Promise<Map<string, Found>> {
  const { git, top } = context
  const fileMode = (await git.ask(['config', '--type=bool', 'core.fileMode'])) !== 'false'
  const paths = [...expected.keys()]
  const clean = await blobsOf(git, top, paths, { filters: true })
  const rawPaths = paths.filter((path) => expected.get(path)!.raw !== undefined)
  const raw = await blobsOf(git, top, rawPaths, { filters: false })
  const found = new Map<string, Found>()
  for (const [path, wanted] of expected) {
    const matches = (live: TreeFile | undefined, file: TreeFile | undefined) =>
      live !== undefined && file !== undefined && live.id === file.id && sameMode(live.mode, file.mode, fileMode)
    if (matches(raw.get(path), wanted.raw)) found.set(path, 'raw')
    else if (wanted.clean.some((file) => matches(clean.get(path), file))) found.set(path, 'clean')
    else found.set(path, await lookCloser(context, path, wanted))
  }
  return found
}

function sameMode(a: string, b: string, fileMode: boolean): boolean {
  return a === b || (!fileMode && a !== '120000' && b !== '120000')
}

async function lookCloser({ git, top }: FilesContext, path: string, { clean, raw }: Expected): Promise<Found> {
  const stats = await lstatOrUndefined(below(top, path))
  if (stats === undefined) return 'absent'
  if (stats.isDirectory()) return 'folder'
  if (!stats.isFile()) return 'theirs'
  const live = await readFile(below(top, path))
  for (const file of [...clean, raw]) {
    if (file === undefined || file.mode === '120000' || file.mode === '160000') continue
    const whole = await contentOf(git, file, file === raw ? undefined : path)
    if (whole.length > live.length && whole.subarray(0, live.length).equals(live)) return 'torn'
  }
  return 'theirs'
}

/** A blob's bytes; with a path, as Git would check it out there. */
export async function contentOf(git: Git, file: TreeFile, path: string | undefined): Promise<Buffer> {
  const plain = ['cat-file', 'blob', file.id]
  if (path === undefined) return (await git.run(plain)).stdout
  try {
    const env = { GIT_LFS_SKIP_SMUDGE: '1' }
    return (await git.run(['cat-file', '--filters', `--path=${displayPath(path)}`, file.id], { env })).stdout
  } catch (error) {
    // A filter that cannot run, or a name that cannot be an argument.
    if (!gitFailure(error)) throw error
    return (await git.run(plain)).stdout
  }
}
