import { hash } from 'node:crypto'
import path from 'node:path'
import { EnvError } from '../../domain/errors.ts'

/** What a restore makes in a server, and the folder in which it keeps files: all carry its id, and tell services of one environment apart. */
export type OwnNames = { readonly fresh: string; readonly old: string; readonly directory: string }

export function ownNames(id: string, service: string, privateDirectory: string): OwnNames {
  if (!/^[0-9a-z]{1,30}$/.test(id)) throw new EnvError('bug', `${JSON.stringify(id)} is no name of a restore`)
  const tag = hash('sha256', service).slice(0, 6)
  return {
    fresh: `git_env_${id}_${tag}_new`,
    old: `git_env_${id}_${tag}_old`,
    directory: path.join(privateDirectory, `swap-${id}`),
  }
}

/** Nothing that does not look like this is ever dropped. */
export function isOwnName(database: string): boolean {
  return /^git_env_[0-9a-z]{1,30}_[0-9a-f]{6}_(new|old)$/.test(database)
}
