import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { measure, median, table } from './measure.ts'
import { git, gitEnv, gitEnvironment, makeRepository } from './project.ts'

const commits = 60_000
const snapshots = 10_000
const runs = 7

/** `git env log` in a large repository beside git's own listing of refs with their subjects, in turns. */
export async function benchLog(directory: string): Promise<void> {
  const project = path.join(directory, 'log')
  makeRepository(project)
  await measure(...gitEnv('init'), { cwd: project, env: gitEnvironment })
  git(project, ['fast-import', '--quiet', '--force'], history(git(project, ['rev-parse', 'HEAD^{tree}']).trim()))
  git(project, ['reset', '-q', '--hard'])
  git(project, ['pack-refs', '--all'])
  writeManifestNames(path.join(project, '.git/env/store/manifests'))
  const commandLines: Record<string, readonly [string, readonly string[]]> = {
    'git for-each-ref, subjects': ['git', ['for-each-ref', '--format=%(refname) %(subject)']],
    'git env log -n 50': gitEnv('log', '-n', '50'),
    'git env log --snapshots': gitEnv('log', '--snapshots'),
  }
  const times: Record<string, number[]> = {}
  for (let run = 0; run < runs; run++) {
    for (const [name, line] of Object.entries(commandLines)) {
      const { seconds } = await measure(...line, { cwd: project, env: gitEnvironment })
      times[name] = [...(times[name] ?? []), seconds]
    }
  }
  const base = median(times['git for-each-ref, subjects']!)
  const rows = Object.entries(times).map(([name, each]) => {
    return [name, `${Math.round(median(each) * 1000)} ms`, (median(each) / base).toFixed(2)]
  })
  const title = `History of ${commits} commits with ${snapshots} snapshots, median of ${runs}, in turns`
  process.stdout.write(`\n${title}\n\n${table(['', 'time', 'ratio'], rows)}\n`)
}

/** For `git fast-import`: code commits on main, after every sixth a snapshot commit with its ref. */
function history(tree: string): Buffer {
  const lines: string[] = []
  const person = (time: number) => `Bench <bench@example.com> ${time} +0000`
  let mark = 0
  for (let i = 0; i < commits; i++) {
    const time = 1_700_000_000 + i * 600
    const message = i % 6 === 5 && mark > 0 ? snapshotMessage(i, time, tree) : `change ${i}`
    lines.push('commit refs/heads/main', `mark :${++mark}`, `committer ${person(time)}`)
    lines.push(`data ${Buffer.byteLength(message)}`, message)
    lines.push(mark > 1 ? `from :${mark - 1}` : 'from refs/heads/main^0')
    if (i % 6 === 5) lines.push(`reset refs/env/snapshots/${snapshotId(i)}`, `from :${mark}`, '')
  }
  return Buffer.from(`${lines.join('\n')}\n`)
}

function snapshotId(i: number): string {
  return (
    `01j${i
      .toString(36)
      .replace(/[ilou]/g, 'z')
      .padStart(23, '0')}`.slice(0, 19) + String(i).padStart(7, '0')
  )
}

function manifestDigest(i: number): string {
  return createHash('sha256').update(`manifest ${i}`).digest('hex')
}

function snapshotMessage(i: number, time: number, tree: string): string {
  const date = (seconds: number) => new Date(seconds * 1000).toISOString()
  return [
    `snapshot: number ${i}`,
    '',
    'Environment main: 1 service, 12 MiB',
    '',
    '  media  120 files, 12 MiB',
    '',
    `Snapshot-Id: ${snapshotId(i)}`,
    'Snapshot-Environment: main',
    `Snapshot-Manifest: sha256:${manifestDigest(i)}`,
    `Snapshot-Code: ${'0'.repeat(40)}`,
    `Snapshot-Tree: ${tree}`,
    'Snapshot-Format: 1',
    `Snapshot-Created: ${date(time)}`,
    `Snapshot-Expires: ${date(time + 14 * 86_400)}`,
    'Snapshot-Trigger: manual',
    '',
  ].join('\n')
}

/** The log looks into the store for which manifests are there: it shall find as many as there are snapshots. */
function writeManifestNames(directory: string): void {
  mkdirSync(directory, { recursive: true })
  for (let i = 5; i < commits; i += 6) writeFileSync(path.join(directory, manifestDigest(i)), '{}')
}
