import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { writeMixed } from './data.ts'
import { folderBytes, type Measured, measure, median, table } from './measure.ts'
import { git, gitEnv, gitEnvironment, makeRepository } from './project.ts'

const mebibytes = 1024
const files = 10_000
const runs = 5

/** The first snapshot of 1 GiB of mixed data beside `restic backup` of the same files, into fresh repositories, in turns. */
export async function benchSnapshot(directory: string): Promise<void> {
  const project = path.join(directory, 'project')
  makeRepository(project)
  writeMixed(path.join(project, 'media'), mebibytes, files)
  const version = execFileSync('restic', ['version']).toString().split(' ').slice(0, 2).join(' ')
  const results: Record<'git env snapshot' | 'restic backup', (Measured & { stored: number })[]> = {
    'git env snapshot': [],
    'restic backup': [],
  }
  for (let run = 0; run < runs; run++) {
    results['git env snapshot'].push(await snapshot(project))
    results['restic backup'].push(await restic(directory, project))
  }
  const base = median(results['restic backup'].map((each) => each.seconds))
  const rows = Object.entries(results).map(([name, each]) => {
    const seconds = median(each.map((run) => run.seconds))
    return [
      name,
      `${seconds.toFixed(2)} s`,
      (seconds / base).toFixed(2),
      `${Math.round(Math.max(...each.map((run) => run.peakBytes)) / 2 ** 20)} MiB`,
      `${Math.round(median(each.map((run) => run.stored)) / 2 ** 20)} MiB`,
    ]
  })
  const title = `First snapshot of ${mebibytes} MiB in ${files} files (half text rows, half incompressible), ${version}, median of ${runs}, in turns`
  process.stdout.write(`\n${title}\n\n${table(['', 'time', 'ratio', 'peak memory', 'stored'], rows)}\n`)
}

async function snapshot(project: string): Promise<Measured & { stored: number }> {
  rmSync(path.join(project, '.git/env'), { recursive: true, force: true })
  for (const ref of git(project, ['for-each-ref', '--format=%(refname)', 'refs/env']).split('\n').filter(Boolean)) {
    git(project, ['update-ref', '-d', ref])
  }
  await measure(...gitEnv('init'), { cwd: project, env: gitEnvironment })
  const measured = await measure(...gitEnv('snapshot', '--side', '-m', 'bench'), { cwd: project, env: gitEnvironment })
  return { ...measured, stored: folderBytes(path.join(project, '.git/env/store')) }
}

async function restic(directory: string, project: string): Promise<Measured & { stored: number }> {
  const repository = path.join(directory, 'restic')
  rmSync(repository, { recursive: true, force: true })
  mkdirSync(repository)
  const env = { RESTIC_PASSWORD: 'bench', RESTIC_CACHE_DIR: path.join(directory, 'restic-cache') }
  await measure('restic', ['-q', '-r', repository, 'init'], { cwd: project, env })
  const measured = await measure('restic', ['-q', '-r', repository, 'backup', 'media'], { cwd: project, env })
  return { ...measured, stored: folderBytes(repository) }
}
