import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import type { CodeStageOptions, GitRepository } from '../../src/git/git-repository.ts'
import { filesIn, type Sandbox } from './git-sandbox.ts'

/** All of a work tree that a restore could change: HEAD, branches, index and every file. */
export function codeState(box: Sandbox) {
  return {
    head: readFileSync(`${box.git('rev-parse', '--absolute-git-dir')}/HEAD`, 'utf8'),
    branches: box.git('for-each-ref', '--format=%(refname) %(objectname)', 'refs/heads'),
    index: box.git('ls-files', '-s', '-v'),
    status: box.git('status', '--porcelain=v2', '--untracked-files=all', '--ignored'),
    files: filesIn(box.directory),
  }
}

export function stageOptions(box: Sandbox, options: Partial<CodeStageOptions> & { commit: string }): CodeStageOptions {
  const { commit, ...more } = options
  return {
    target: { commit, changes: undefined },
    message: 'restore: before upgrade\n\nRestored-Snapshot: x\n',
    mode: 'append',
    id: '01jd3k0000000000000000000r',
    exclude: new Set(),
    asideDirectory: `${box.git('rev-parse', '--absolute-git-dir')}/env/aside`,
    ...more,
  }
}

/** Stages and swaps; gives the swap in state `after`. */
export async function restoreCode(repository: GitRepository, options: CodeStageOptions, trace = (_: string) => {}) {
  const staged = await repository.code.stage(options)
  const swap = await repository.code.swap(staged, trace)
  expect(await swap.inspect()).toBe('before')
  await swap.prepare?.()
  await swap.hold(1000)
  await swap.lastCapture()
  await swap.forward()
  expect(await swap.inspect()).toBe('after')
  await swap.readBack()
  await swap.release()
  return swap
}
