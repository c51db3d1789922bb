import { mkdtemp, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { bytePath } from '../domain/tree.ts'
import { below, quotePath } from './paths.ts'
import type { Git } from './run-git.ts'
import { lstatOrUndefined } from './work-files.ts'
import { durable } from './write-commit.ts'

type FileMode = '100644' | '100755' | '120000'

/** A file as a tree names it. */
export type Blob = { readonly mode: FileMode; readonly id: string }

/**
 * Blob ids of files of the work tree. `filters`: as `git add` would make them; else byte for byte. `write` stores them.
 * A symlink's blob is what it points to. What is no file and no symlink has none.
 */
export async function hashFiles(
  git: Git,
  top: string,
  paths: readonly string[],
  options: { readonly filters: boolean; readonly write?: boolean },
): Promise<Map<string, string>> {
  return new Map([...(await blobsOf(git, top, paths, options))].map(([name, { id }]) => [name, id]))
}

/** The same with modes. The executable bit is the owner's. */
export async function blobsOf(
  git: Git,
  top: string,
  paths: readonly string[],
  options: { readonly filters: boolean; readonly write?: boolean },
): Promise<Map<string, Blob>> {
  const files: string[] = []
  const links: string[] = []
  const modes = new Map<string, FileMode>()
  for (const name of paths) {
    const stats = await lstatOrUndefined(below(top, name))
    if (stats?.isSymbolicLink()) links.push(name)
    else if (stats?.isFile()) {
      files.push(name)
      modes.set(name, (stats.mode & 0o100n) === 0n ? '100644' : '100755')
    }
  }
  // Attributes go by the path in the work tree; bytes as they are may lie anywhere.
  const names = options.filters ? files : files.map((name) => below(top, name).toString('latin1'))
  const ids = await hashPaths(git, names, options)
  const blobs = new Map<string, Blob>(files.map((name, i) => [name, { mode: modes.get(name)!, id: ids[i]! }]))
  const linkIds = await hashLinks(git, top, links, options)
  links.forEach((name, i) => {
    blobs.set(name, { mode: '120000', id: linkIds[i]! })
  })
  return blobs
}

async function hashPaths(
  git: Git,
  names: readonly string[],
  options: { readonly filters: boolean; readonly write?: boolean },
): Promise<string[]> {
  if (names.length === 0) return []
  const flags = [...(options.write ? ['-w'] : []), ...(options.filters ? [] : ['--no-filters'])]
  const input = names.map((name) => `${quotePath(name)}\n`).join('')
  return (await git.text([...durable, 'hash-object', ...flags, '--stdin-paths'], { input })).split('\n')
}

/** `--stdin-paths` follows symlinks, so what they point to is hashed from temporary files. */
async function hashLinks(
  git: Git,
  top: string,
  names: readonly string[],
  options: { readonly write?: boolean },
): Promise<string[]> {
  if (names.length === 0) return []
  const directory = await mkdtemp(path.join(tmpdir(), 'git-env-links-'))
  try {
    const files = names.map((_, i) => path.join(directory, String(i)))
    for (const [i, name] of names.entries()) {
      await writeFile(files[i]!, await readlink(below(top, name), { encoding: 'buffer' }))
    }
    return await hashPaths(git, files.map(bytePath), { ...options, filters: false })
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
