import { constants } from 'node:fs'
import {
  copyFile,
  lstat,
  lutimes,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  rmdir,
  symlink,
  unlink,
  utimes,
} from 'node:fs/promises'
import path from 'node:path'
import { EnvError, systemCode } from '../domain/errors.ts'
import { displayPath } from '../domain/tree.ts'
import { replaceFile, syncDirectory } from '../system/durable-file.ts'
import { below, parentsOf } from './paths.ts'
import { lstatOrUndefined } from './work-files.ts'

type Pass = {
  /** `before`: stood there before the restore, and goes back there with it. `kept`: came later, and is only not to be lost. */
  readonly kind: 'before' | 'kept'
  readonly paths: readonly string[]
}

/**
 * Files moved out of the way of a restore. Each pass has a folder of its own (`files/0`, `files/1`, …) in which a file stands under the path
 * that it had, so that a look tells what has been moved. Where a path was set aside more than once, the earliest is what stood there before.
 */
export class SetAside {
  readonly #top: string
  readonly #directory: string

  constructor(top: string, asideDirectory: string) {
    this.#top = top
    this.#directory = path.join(asideDirectory, 'files')
  }

  /** Numbers of the passes there are, in order. */
  async passes(): Promise<number[]> {
    const names = await readdir(this.#directory).catch(orEmpty)
    return names
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .sort((a, b) => a - b)
  }

  /** Moves paths (files, symlinks, whole folders) into a new pass. A file keeps its inode where one file system holds both places. */
  async take(kind: Pass['kind'], paths: readonly string[], moved: () => void): Promise<void> {
    if (paths.length === 0) return
    const pass = ((await this.passes()).at(-1) ?? -1) + 1
    const folder = this.#folder(pass)
    await mkdir(folder, { recursive: true })
    // Listed first: what is listed and not here stands where it was.
    await this.#writeList(pass, { kind, paths })
    const changed = new Set<string>()
    const gone = new Set<string>()
    for (const name of paths) {
      const target = below(folder, name)
      for (const parent of parentsOf(name)) await mkdirIfAbsent(below(folder, parent))
      if (await move(below(this.#top, name), target)) {
        changed.add(path.posix.dirname(name))
        moved()
      } else {
        gone.add(name)
      }
    }
    if (gone.size > 0) await this.#writeList(pass, { kind, paths: paths.filter((name) => !gone.has(name)) })
    for (const name of changed) await syncQuietly(below(this.#top, name === '.' ? '' : name))
    await syncQuietly(folder)
  }

  /** Paths that stood in the way, listed and not here: they were not moved yet, or are back already. */
  async atHome(): Promise<Set<string>> {
    const [lists, moved] = [await this.#lists('before'), await this.earliest()]
    return new Set(lists.flatMap(({ paths }) => paths).filter((name) => !moved.has(name)))
  }

  /** Where each path lies now that stood at its place before the restore, by path. */
  async earliest(): Promise<Map<string, Buffer>> {
    const found = new Map<string, Buffer>()
    for (const { pass, paths } of await this.#lists('before')) {
      for (const name of paths) {
        const file = below(this.#folder(pass), name)
        const isOutermost = !parentsOf(name).some((parent) => found.has(parent))
        if (!found.has(name) && isOutermost && (await lstatOrUndefined(file))) found.set(name, file)
      }
    }
    return found
  }

  /** What is left belongs to no state any more: it is kept for its own sake. */
  async retire(): Promise<void> {
    for (const { pass, paths } of await this.#lists('before')) await this.#writeList(pass, { kind: 'kept', paths })
  }

  /** Every file and symlink that is set aside, with its pass. */
  async everything(): Promise<{ readonly pass: number; readonly path: string; readonly file: Buffer }[]> {
    const found: { pass: number; path: string; file: Buffer }[] = []
    for (const pass of await this.passes()) {
      for (const name of await filesBelow(this.#folder(pass), '')) {
        found.push({ pass, path: name, file: below(this.#folder(pass), name) })
      }
    }
    return found
  }

  /** Moves a path back to its place, where nothing stands. */
  async putBack(name: string, from: Buffer): Promise<void> {
    for (const parent of parentsOf(name)) await mkdirIfAbsent(below(this.#top, parent))
    if (await lstatOrUndefined(below(this.#top, name))) {
      throw new EnvError('busy', `${displayPath(name)} stands where a file is to be put back`, { hint: 'run it again' })
    }
    await move(from, below(this.#top, name))
    await syncQuietly(below(this.#top, path.posix.dirname(name) === '.' ? '' : path.posix.dirname(name)))
  }

  async #lists(kind: Pass['kind']): Promise<(Pass & { readonly pass: number })[]> {
    const lists: (Pass & { readonly pass: number })[] = []
    for (const pass of await this.passes()) {
      const text = await readFile(`${this.#folder(pass)}.json`, 'utf8').catch(() => undefined)
      const list = text === undefined ? undefined : (JSON.parse(text) as Pass)
      if (list?.kind === kind) lists.push({ ...list, pass })
    }
    return lists
  }

  async #writeList(pass: number, list: Pass): Promise<void> {
    await replaceFile(`${this.#folder(pass)}.json`, [Buffer.from(JSON.stringify(list))])
  }

  #folder(pass: number): string {
    return path.join(this.#directory, String(pass))
  }
}

/** Paths of all files and symlinks in a folder, as byte strings below `prefix`. */
export async function filesBelow(directory: string, prefix: string): Promise<string[]> {
  const entries = await readdir(below(directory, prefix), { withFileTypes: true, encoding: 'buffer' }).catch(orEmpty)
  const files: string[] = []
  for (const entry of entries) {
    const name = `${prefix === '' ? '' : `${prefix}/`}${entry.name.toString('latin1')}`
    if (entry.isDirectory()) files.push(...(await filesBelow(directory, name)))
    else files.push(name)
  }
  return files
}

/** false when there is nothing to move. */
async function move(from: Buffer, to: Buffer): Promise<boolean> {
  try {
    await rename(from, to)
    return true
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return false
    if (code !== 'EXDEV') throw error
  }
  await copyOver(from, to)
  await rm(from, { recursive: true })
  return true
}

/** Copies a file, symlink or folder to another file system, synced. */
async function copyOver(from: Buffer, to: Buffer): Promise<void> {
  const stats = await lstat(from)
  if (stats.isDirectory()) {
    await mkdirIfAbsent(to)
    for (const name of await readdir(from, { encoding: 'buffer' })) {
      await copyOver(Buffer.concat([from, slash, name]), Buffer.concat([to, slash, name]))
    }
  } else if (stats.isSymbolicLink()) {
    await rm(to, { force: true })
    await symlink(await readlink(from, { encoding: 'buffer' }), to)
    await lutimes(to, stats.atime, stats.mtime)
  } else if (stats.isFile()) {
    await copyFile(from, to, constants.COPYFILE_FICLONE)
    await syncFile(to)
    await utimes(to, stats.atime, stats.mtime)
  } else {
    throw new EnvError(
      'refused',
      `${from.toString('utf8')} is neither a file nor a folder, and cannot be moved to another disk`,
    )
  }
}

const slash = Buffer.from('/')

async function syncFile(file: Buffer): Promise<void> {
  const handle = await open(file, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function mkdirIfAbsent(directory: Buffer): Promise<void> {
  await mkdir(directory).catch((error: unknown) => {
    if (systemCode(error) !== 'EEXIST') throw error
  })
}

/** Removes a file or symlink, or an empty folder; what is not there is no error. */
export async function removeFile(file: Buffer): Promise<void> {
  await unlink(file).catch(async (error: unknown) => {
    const code = systemCode(error)
    if (code === 'EISDIR' || code === 'EPERM') return rmdir(file)
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
  })
}

/** Removes folders that are empty, innermost first. */
export async function removeEmpty(top: string, directories: readonly string[]): Promise<void> {
  for (const name of directories.toSorted((a, b) => b.length - a.length)) {
    await rmdir(below(top, name)).catch((error: unknown) => {
      if (!['ENOENT', 'ENOTEMPTY', 'ENOTDIR', 'EEXIST', 'EBUSY'].includes(systemCode(error) ?? '')) throw error
    })
  }
}

async function syncQuietly(directory: string | Buffer): Promise<void> {
  // The folder itself may have gone with what was in it.
  await syncDirectory(directory as string).catch(() => {})
}

function orEmpty(error: unknown): never[] {
  if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return []
  throw error
}
