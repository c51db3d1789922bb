import { readdir, readFile } from 'node:fs/promises'
import { EnvError, systemCode } from '../domain/errors.ts'
import { bytePath, displayPath, isWithin } from '../domain/tree.ts'
import { below, isCovered, parentsOf } from './paths.ts'
import { lstatOrUndefined } from './work-files.ts'

export type ObstacleOptions = {
  readonly top: string
  /** Paths that are to become files. */
  readonly incoming: Iterable<string>
  /** Paths that HEAD has: Git takes care of these itself. */
  readonly tracked: ReadonlySet<string>
  /** Paths of mounts and services. */
  readonly exclude: ReadonlySet<string>
}

/**
 * What stands at a place where a file is to be, or where a folder must be for it: untracked and ignored files, symlinks and folders, as the
 * outermost paths that can be moved away without taking a tracked file along. Throws `refused` for what belongs to a mount or a service.
 */
export async function findObstacles(options: ObstacleOptions): Promise<string[]> {
  const { top, tracked } = options
  const folders = foldersOf(tracked)
  const looked = new Set<string>()
  const found = new Set<string>()
  for (const path of options.incoming) {
    for (const parent of parentsOf(path)) {
      if (looked.has(parent)) continue
      looked.add(parent)
      const stats = await lstatOrUndefined(below(top, parent))
      if (stats && !stats.isDirectory() && !tracked.has(parent)) found.add(parent)
    }
    const stats = await lstatOrUndefined(below(top, path))
    if (stats?.isDirectory()) for (const each of await untrackedIn(top, path, tracked, folders)) found.add(each)
    else if (stats && !tracked.has(path)) found.add(path)
  }
  const obstacles = [...found].filter((path) => !parentsOf(path).some((parent) => found.has(parent))).sort()
  await refuseForeign(obstacles, options)
  return obstacles
}

/** The outermost paths in a folder that hold nothing tracked. */
async function untrackedIn(
  top: string,
  folder: string,
  tracked: ReadonlySet<string>,
  folders: ReadonlySet<string>,
): Promise<string[]> {
  if (!folders.has(folder)) return [folder]
  const found: string[] = []
  for (const entry of await readdir(below(top, folder), { withFileTypes: true, encoding: 'buffer' })) {
    const path = `${folder}/${entry.name.toString('latin1')}`
    if (tracked.has(path)) continue
    if (entry.isDirectory()) found.push(...(await untrackedIn(top, path, tracked, folders)))
    else found.push(path)
  }
  return found
}

function foldersOf(paths: ReadonlySet<string>): Set<string> {
  const folders = new Set<string>()
  for (const path of paths) for (const parent of parentsOf(path)) folders.add(parent)
  return folders
}

/** Moving these would take something along that is not code: a mount, a service's file, a mount point, another repository. */
async function refuseForeign(obstacles: readonly string[], { top, exclude }: ObstacleOptions): Promise<void> {
  const mounts = await mountPointsBelow(top)
  for (const path of obstacles) {
    const owned = isCovered(exclude, path) || [...exclude].some((each) => isWithin(path, each))
    const mounted = mounts.some((each) => isWithin(path, each))
    if (owned || mounted) {
      throw new EnvError('refused', `the code has a file where ${displayPath(path)} is now, which is no code`, {
        hint: owned
          ? 'it belongs to a mount or a service: move it to another place and say so in the configuration'
          : 'a file system is mounted there: unmount it first',
      })
    }
    const isFolder = (await lstatOrUndefined(below(top, path)))?.isDirectory() ?? false
    const repository = isFolder ? await innerRepository(top, path) : undefined
    if (repository !== undefined) {
      throw new EnvError('refused', `another Git repository is in the way: ${displayPath(repository)}`, {
        hint: 'move it away, then try again',
      })
    }
  }
}

async function innerRepository(top: string, path: string): Promise<string | undefined> {
  const entries = await readdir(below(top, path), { withFileTypes: true, encoding: 'buffer' }).catch(
    (error: unknown) => {
      if (systemCode(error) === 'ENOTDIR' || systemCode(error) === 'ENOENT') return []
      throw error
    },
  )
  if (entries.some((entry) => entry.name.toString('latin1') === '.git')) return path
  for (const entry of entries.filter((each) => each.isDirectory())) {
    const inner = await innerRepository(top, `${path}/${entry.name.toString('latin1')}`)
    if (inner !== undefined) return inner
  }
  return undefined
}

/** Mount points in the work tree, as byte strings below its top. Known on Linux only. */
async function mountPointsBelow(top: string): Promise<string[]> {
  const table = await readFile('/proc/self/mountinfo', 'latin1').catch(() => '')
  const prefix = `${bytePath(top)}/`
  return table
    .split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, digits: string) => octal(digits)))
    .filter((point) => point.startsWith(prefix))
    .map((point) => point.slice(prefix.length))
}

function octal(digits: string): string {
  return String.fromCharCode(Number.parseInt(digits, 8))
}
