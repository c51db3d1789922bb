import { rmSync } from 'node:fs'
import path from 'node:path'
import { measure } from './measure.ts'
import { git, gitEnv, gitEnvironment } from './project.ts'

/** From the confirmation to done, without the safety snapshot; its own time apart. */
export async function restore(project: string): Promise<{ seconds: number; safety: number }> {
  const started = performance.timeOrigin + performance.now()
  const { at } = await command(project, 'restore', '--yes', '--data-only')
  const safety = at.get('restore: safety snapshot taken')! - at.get('snapshot: point taken')!
  const done = at.get('journal: done')! - started
  return { seconds: (done - safety) / 1000, safety: safety / 1000 }
}

/** Runs `git env …`; when each traced step was done, in milliseconds of the clock. */
export async function command(
  project: string,
  ...words: string[]
): Promise<{ seconds: number; at: Map<string, number> }> {
  const at = new Map<string, number>()
  const [file, all] = gitEnv(...words)
  const { seconds: took } = await measure(file, all, {
    cwd: project,
    env: { ...gitEnvironment, GIT_ENV_TRACE: '1' },
    onLine: (line) => {
      const step = /^trace \d+ \d+ (.*) \(\d+ ms\)$/.exec(line)?.[1]
      if (step !== undefined && !at.has(step)) at.set(step, performance.timeOrigin + performance.now())
    },
  })
  return { seconds: took, at }
}

export function compared(title: string, ours: number, theirs: number): string[] {
  return [title, seconds(ours), seconds(theirs), (ours / theirs).toFixed(2)]
}

export function seconds(value: number): string {
  return `${value.toFixed(2)} s`
}

/** As a clone that has never taken a snapshot. */
export async function startAnew(project: string): Promise<void> {
  rmSync(path.join(project, '.git/env'), { recursive: true, force: true })
  for (const ref of git(project, ['for-each-ref', '--format=%(refname)', 'refs/env']).split('\n').filter(Boolean))
    git(project, ['update-ref', '-d', ref])
  await command(project, 'init')
}
