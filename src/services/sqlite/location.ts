import { lstat, readlink, realpath } from 'node:fs/promises'
import path from 'node:path'
import { EnvError, systemCode } from '../../domain/errors.ts'
import type { ServiceContext } from '../service-driver.ts'

/** Where the database really lies: symbolic links followed, as SQLite follows them to name the files beside it. Refuses what is not ours to touch. */
export async function locate(configured: string, context: ServiceContext): Promise<string> {
  const here = context.nameHere ?? configured.replaceAll('{env}', context.environmentKey)
  const named = path.resolve(context.projectDirectory, here)
  const real = await realPathOf(named)
  const project = await realPathOf(context.projectDirectory)
  if (!within(project, real) && !context.allowed) {
    throw new EnvError('refused', `${context.name}: the database ${real} lies outside of the project`, {
      hint: 'run `git env allow` if this configuration may use it',
    })
  }
  for (const folder of [...context.forbidden, context.privateDirectory]) {
    if (within(await realPathOf(folder), real)) {
      throw new EnvError(
        'usage',
        `${context.name}: the database ${real} lies in ${folder}, which is kept by Git or git-env`,
      )
    }
  }
  const stat = await lstat(real).catch(() => undefined)
  if (stat && !stat.isFile()) throw new EnvError('usage', `${context.name}: ${real} is no file`)
  return real
}

function within(folder: string, file: string): boolean {
  const relative = path.relative(folder, file)
  return relative === '' || (!relative.startsWith(`..${path.sep}`) && relative !== '..' && !path.isAbsolute(relative))
}

/** The real path of what may not exist: links are followed as far as there is something. */
async function realPathOf(file: string, links = 0): Promise<string> {
  try {
    return await realpath(file)
  } catch (error) {
    const code = systemCode(error)
    if ((code !== 'ENOENT' && code !== 'ENOTDIR') || links > 40) throw error
  }
  const target = await readlink(file).catch(() => undefined)
  if (target !== undefined) return realPathOf(path.resolve(path.dirname(file), target), links + 1)
  const parent = path.dirname(file)
  return parent === file ? file : path.join(await realPathOf(parent, links), path.basename(file))
}
