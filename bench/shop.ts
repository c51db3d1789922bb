import { spawn } from 'node:child_process'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { command, compared, restore, seconds, startAnew } from './commands.ts'
import type { Load } from './load.ts'
import { median } from './measure.ts'
import { git, gitEnv, gitEnvironment } from './project.ts'

export const tables = 10
/** About 100 MB each, as text. */
export const rowsPerTable = 640_000
export const database = 'shop'

const snapshotsUnderLoad = 30

/** A repository whose configuration has these lines. */
export function makeProject(project: string, lines: readonly string[]): void {
  mkdirSync(project, { recursive: true })
  git(project, ['init', '-q', '-b', 'main'])
  writeFileSync(path.join(project, '.gitignore'), 'data/\nmedia/\n')
  writeFileSync(path.join(project, '.git-env.yaml'), lines.map((line) => `${line}\n`).join(''))
  git(project, ['add', '.'])
  git(project, ['commit', '-qm', 'first'])
}

/** First snapshots in turns with the server's own dump, then another of the same. */
export async function snapshotRows(
  project: string,
  title: string,
  archive: string,
  dump: () => Promise<{ readonly seconds: number }>,
): Promise<string[][]> {
  const ours: number[] = []
  const theirs: number[] = []
  for (let run = 0; run < 3; run++) {
    await startAnew(project)
    ours.push((await command(project, 'snapshot', '--side', '-m', 'bench')).seconds)
    theirs.push((await dump()).seconds)
  }
  const again = await command(project, 'snapshot', '--side', '-m', 'again')
  return [
    compared(`first snapshot, ${title}, medians of 3`, median(ours), median(theirs)),
    [`a second one, ${Math.round(statSync(archive).size / 2 ** 20)} MiB is the dump`, seconds(again.seconds), '', ''],
  ]
}

export type Changes = {
  /** Rows of all tables, so that all have to be restored. */
  readonly everything: () => Promise<void>
  /** One row in a hundred of one table. */
  readonly little: () => Promise<void>
  /** Neither side pays for what was done before it. */
  readonly settle: () => Promise<void>
}

export async function restoreRows(
  project: string,
  title: string,
  theirs: number,
  { everything, little, settle }: Changes,
): Promise<string[][]> {
  await everything()
  await settle()
  const full = await restore(project)
  await little()
  await settle()
  const part = await restore(project)
  return [
    compared(`full restore, ${title}`, full.seconds, theirs),
    ['  the safety snapshot before it', seconds(full.safety), '', ''],
    [
      'restore after 1 % of the rows of one table',
      seconds(part.seconds),
      `${seconds(full.seconds)} in full`,
      (full.seconds / part.seconds).toFixed(1),
    ],
    ['  the safety snapshot before it', seconds(part.safety), '', ''],
  ]
}

/** A snapshot until everybody has been let go again; what it would copy then is not waited for. Gives that moment, in milliseconds of the clock. */
async function untilPoint(project: string): Promise<number> {
  const [file, words] = gitEnv('snapshot', '--side', '-m', 'under load')
  const env = { ...process.env, ...gitEnvironment, GIT_ENV_TRACE: '1' }
  const child = spawn(file, [...words], { cwd: project, env, stdio: ['ignore', 'ignore', 'pipe'] })
  let point: number | undefined
  let said = ''
  child.stderr.on('data', (part: Buffer) => {
    said += part.toString()
    if (point === undefined && said.includes('snapshot: point taken')) {
      point = performance.timeOrigin + performance.now()
      child.kill('SIGINT')
    }
  })
  await new Promise((resolve) => child.once('close', resolve))
  if (point === undefined) throw new Error(said)
  return point
}

/** The longest wait of each load's writers around the points of some snapshots. */
export async function freezeRows(project: string, loads: Readonly<Record<string, Load>>): Promise<string[][]> {
  const waits = new Map(Object.keys(loads).map((name) => [name, [] as number[]]))
  for (let run = 0; run < snapshotsUnderLoad; run++) {
    const point = await untilPoint(project)
    // The writers tell of their waits ten times a second.
    await new Promise((resolve) => setTimeout(resolve, 250))
    for (const [name, load] of Object.entries(loads)) waits.get(name)!.push(load.longestWaitAt(point))
  }
  return [...waits].map(([name, each]) => {
    const sorted = each.toSorted((a, b) => a - b)
    const p95 = sorted[Math.ceil(sorted.length * 0.95) - 1]!
    return [
      `freeze of ${name} under load, p95 of ${snapshotsUnderLoad} (longest wait around the point)`,
      `${p95.toFixed(1)} ms, median ${median(each).toFixed(1)} ms`,
      `${loads[name]!.usual().toFixed(1)} ms: p95 of all writes`,
      '',
    ]
  })
}

/** The longest wait while a restore swaps. */
export async function longestInSwap(project: string, load: Load, ...words: readonly string[]): Promise<string> {
  const { at } = await command(project, 'restore', '--yes', '--data-only', ...words)
  await new Promise((resolve) => setTimeout(resolve, 250))
  return `${load.longestBetween(at.get('swap: held')! - 1000, at.get('swap: released')! + 500).toFixed(0)} ms`
}
