import { lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import path from 'node:path'
import { EnvError, systemCode } from '../../domain/errors.ts'
import type { ServiceContext } from '../service-driver.ts'

type Context = Pick<ServiceContext, 'name' | 'projectDirectory' | 'forbidden' | 'allowed'>

/** The real path of a mount's folder, which need not exist; throws `refused` for a folder that must not be one. */
export function locateMount(configured: string, context: Context): string {
  const { name, projectDirectory, forbidden, allowed } = context
  const root = realPath(path.resolve(projectDirectory, configured), name)
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
  if (statSync(root, { throwIfNoEntry: false })?.isDirectory() === false) {
    throw refuse('is a file', 'a mount is a folder: name the folder that holds it')
  }
  return root
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
    if (code === 'ENOTDIR') {
      throw new EnvError('refused', `mount ${name}: ${file} lies below a file`, { hint: 'name a folder', cause: error })
    }
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
