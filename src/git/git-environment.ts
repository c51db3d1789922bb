import path from 'node:path'

/** Environment variables of a process. */
export type Variables = Readonly<Record<string, string | undefined>>

const relativePaths = [
  'GIT_DIR',
  'GIT_COMMON_DIR',
  'GIT_WORK_TREE',
  'GIT_INDEX_FILE',
  'GIT_OBJECT_DIRECTORY',
  'GIT_QUARANTINE_PATH',
]

/** What `git rev-parse --local-env-vars` lists: variables that tie a process to one repository. */
const repositoryVariables = [
  ...relativePaths,
  'GIT_ALTERNATE_OBJECT_DIRECTORIES',
  'GIT_CONFIG',
  'GIT_CONFIG_PARAMETERS',
  'GIT_CONFIG_COUNT',
  'GIT_GRAFT_FILE',
  'GIT_IMPLICIT_WORK_TREE',
  'GIT_INTERNAL_SUPER_PREFIX',
  'GIT_NO_REPLACE_OBJECTS',
  'GIT_PREFIX',
  'GIT_REPLACE_REF_BASE',
  'GIT_SHALLOW_FILE',
]

/**
 * The variables for Git processes that do not run where we were started: Git hands hooks and external commands paths relative to that place
 * (`GIT_DIR=.`). Nothing ever prompts on a terminal that is not there, and `git status` takes no lock beside a user's command.
 */
export function absoluteEnvironment(variables: Variables, directory: string): Record<string, string> {
  const result: Record<string, string> = {}
  for (const [name, value] of Object.entries(variables)) if (value !== undefined) result[name] = value
  for (const name of relativePaths) if (result[name]) result[name] = path.resolve(directory, result[name])
  const alternates = result['GIT_ALTERNATE_OBJECT_DIRECTORIES']
  if (alternates && !alternates.includes('"')) {
    const absolute = alternates.split(path.delimiter).map((entry) => entry && path.resolve(directory, entry))
    result['GIT_ALTERNATE_OBJECT_DIRECTORIES'] = absolute.join(path.delimiter)
  }
  delete result['GIT_PREFIX']
  delete result['GIT_TRACE2_PARENT_SID']
  return { ...result, GIT_OPTIONAL_LOCKS: '0', LANGUAGE: 'C' }
}

/** Laid over an environment, takes away what ties it to a repository: for commands in another one. */
export const noRepository: Readonly<Record<string, undefined>> = Object.fromEntries(
  repositoryVariables.map((name) => [name, undefined]),
)
