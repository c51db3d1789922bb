import { realpath } from 'node:fs/promises'
import path from 'node:path'
import { EnvError } from '../domain/errors.ts'
import { type Git, gitFailure } from './run-git.ts'

/** Where a repository lies and of what form it is. */
export type Location = {
  /** The work tree's top folder as a real path; undefined where there is none. */
  readonly topLevel: string | undefined
  readonly gitDirectory: string
  readonly commonDirectory: string
  readonly objectFormat: string
}

// An option that rev-parse does not know is printed as it is: it tells the answers apart, which may hold line breaks.
const separator = '--git-env-separator'

export async function locate(git: Git, directory: string): Promise<Location> {
  const answers = await questions(git, directory)
  const [gitDirectory = '', commonDirectory = '', objectFormat = '', isInside = '', cdup = ''] = answers
  // Empty both at the top and where there is no work tree; absolute where GIT_WORK_TREE lies elsewhere.
  const hasWorkTree = isInside === 'true' || cdup !== ''
  return {
    gitDirectory,
    commonDirectory,
    objectFormat,
    topLevel: hasWorkTree ? await realpath(path.resolve(directory, cdup)) : undefined,
  }
}

function answersIn(output: string): string[] {
  const answers: string[] = []
  let lines: string[] = []
  for (const line of output.split('\n')) {
    if (line !== separator) lines.push(line)
    else {
      answers.push(lines.join('\n'))
      lines = []
    }
  }
  return answers
}

async function questions(git: Git, directory: string): Promise<string[]> {
  const asked = ['--git-dir', '--git-common-dir', '--show-object-format', '--is-inside-work-tree', '--show-cdup']
  try {
    const output = await git.text([
      'rev-parse',
      '--path-format=absolute',
      ...asked.flatMap((question) => [question, separator]),
    ])
    return answersIn(output)
  } catch (error) {
    if (gitFailure(error) && /not a git repository/.test(gitFailure(error)!.stderr)) {
      throw new EnvError('usage', `${directory} is not in a Git repository`, {
        hint: 'git init makes one',
        cause: error,
      })
    }
    throw error
  }
}
