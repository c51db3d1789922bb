import { lstatSync, readlinkSync, realpathSync, type Stats, statSync } from 'node:fs'
import path from 'node:path'
import { EnvError, systemCode } from '../../domain/errors.ts'
import { bytePath } from '../../domain/tree.ts'
import type { ServiceContext } from '../service-driver.ts'

type Context = Pick<ServiceContext, 'name' | 'projectDirectory' | 'forbidden' | 'allowed' | 'foreign'>

/**
 * The real path of a mount's folder, which need not exist; throws `refused` for a folder that must not be one. A file or symlink may have
 * taken the folder's place: a ruin, which a restore sets aside.
 */
export function locateMount(configured: string, context: Context): string {
  const { name, projectDirectory, forbidden, allowed } = context
  const root = rootOf(path.resolve(projectDirectory, configured), name)
  const refuse = (why: string, hint: string) => new EnvError('refused', `mount ${name}: ${root} ${why}`, { hint })
  if (contains(root, projectDirectory)) {
    throw refuse(
      root === projectDirectory ? 'is the project itself' : 'holds the project',
      'a mount is a folder of data inside the project; the code is kept by git',
    )
  }
  if (root.split(path.sep).includes('.git')) throw refuse('lies in a .git folder', 'choose a folder outside of it')
  for (const folder of forbidden) {
    if (contains(folder, root) || contains(root, folder)) {
      throw refuse(
        `${root === folder ? 'is' : contains(folder, root) ? 'lies in' : 'holds'} ${folder}, which git and git-env need`,
        'choose another folder',
      )
    }
  }
  if (!allowed && !contains(projectDirectory, root)) {
    throw refuse('lies outside the project', 'look at the configuration, then: git env allow')
  }
  const found = lstatSync(root, { throwIfNoEntry: false })
  if (!found || found.isDirectory()) return root
  if (context.foreign.has(bytePath(root))) {
    throw refuse('is a file of the code, or of another service', 'a mount is a folder that is neither: name another')
  }
  if (found.isFile() || found.isSymbolicLink()) return root
  throw refuse('is neither a folder nor a file', 'a mount is a folder: remove what is in its place, or name another')
}

/**
 * A symlink that leads to a folder is that folder: applications' folders are moved to larger disks like that. One that leads elsewhere, or
 * nowhere, is not followed: it is itself what stands in the folder's place.
 */
function rootOf(file: string, name: string): string {
  if (statOf(file)?.isDirectory()) return realPath(file, name)
  const above = realPath(path.dirname(file), name)
  if (statOf(above)?.isDirectory() === false) throw belowFile(name, file)
  return path.join(above, path.basename(file))
}

function statOf(file: string): Stats | undefined {
  try {
    return statSync(file, { throwIfNoEntry: false })
  } catch (error) {
    if (['ENOTDIR', 'ELOOP', 'EACCES'].includes(systemCode(error) ?? '')) return undefined
    throw new EnvError('unavailable', `${file}: ${systemCode(error)}`, { cause: error })
  }
}

function belowFile(name: string, file: string, cause?: unknown): EnvError {
  return new EnvError('refused', `mount ${name}: ${file} lies below a file`, { hint: 'name a folder', cause })
}

function contains(folder: string, other: string): boolean {
  return other === folder || other.startsWith(folder === '/' ? '/' : `${folder}/`)
}

/** As `realpath`, of which any number of the last segments need not exist. */
function realPath(file: string, name: string): string {
  try {
    return realpathSync(file)
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOTDIR') throw belowFile(name, file, error)
    if (code !== 'ENOENT') throw new EnvError('unavailable', `mount ${name}: ${file}: ${code}`, { cause: error })
  }
  if (lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink()) {
    throw new EnvError(
      'refused',
      `mount ${name}: ${file} is a symlink to ${readlinkSync(file)}, which does not exist`,
      {
        hint: 'mount or make what it points to, or remove the symlink',
      },
    )
  }
  return path.join(realPath(path.dirname(file), name), path.basename(file))
}
