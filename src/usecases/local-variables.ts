import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { parseEnv } from 'node:util'
import { EnvError, systemCode } from '../domain/errors.ts'
import { bytePath } from '../domain/tree.ts'
import type { Workspace } from './workspace.ts'

/** Beside the configuration, never in Git: lines `NAME=value`, as in a `.env` file. */
export const localFileName = '.git-env.local'

/** What `${NAME}` stands for where the environment does not say. A file that git tracks is refused: its secrets would be everybody's. */
export async function readLocalVariables(
  workspace: Pick<Workspace, 'directory' | 'git'>,
): Promise<ReadonlyMap<string, string>> {
  let text: string
  try {
    text = await readFile(path.join(workspace.directory, localFileName), 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return new Map()
    throw new EnvError('unavailable', `${localFileName} cannot be read`, { cause: error })
  }
  if ((await workspace.git.trackedPaths()).has(bytePath(localFileName))) {
    throw new EnvError('refused', `${localFileName} is tracked by git, and it holds secrets`, {
      hint: `git rm --cached ${localFileName}, and add it to .gitignore`,
    })
  }
  return new Map(
    Object.entries(parseEnv(text)).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
}
