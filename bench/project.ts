import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const launcher = fileURLToPath(new URL('../bin/git-env.js', import.meta.url))

export const gitEnvironment = {
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'Bench',
  GIT_AUTHOR_EMAIL: 'bench@example.com',
  GIT_COMMITTER_NAME: 'Bench',
  GIT_COMMITTER_EMAIL: 'bench@example.com',
}

export function git(directory: string, words: readonly string[], input?: Buffer): string {
  const env = { ...process.env, ...gitEnvironment }
  return execFileSync('git', [...words], {
    cwd: directory,
    env,
    ...(input ? { input } : {}),
    maxBuffer: 1 << 28,
  }).toString()
}

/** File and arguments of `git env …`, as a user's shell would start it. */
export function gitEnv(...words: readonly string[]): readonly [string, readonly string[]] {
  return [process.execPath, [launcher, ...words]]
}

/** A repository with one commit and a mount `media`. */
export function makeRepository(directory: string): void {
  mkdirSync(path.join(directory, 'media'), { recursive: true })
  git(directory, ['init', '-q', '-b', 'main'])
  writeFileSync(path.join(directory, '.gitignore'), 'media/\n')
  writeFileSync(path.join(directory, '.git-env.yaml'), 'mounts:\n  media: media\n')
  git(directory, ['add', '.'])
  git(directory, ['commit', '-qm', 'first'])
}
