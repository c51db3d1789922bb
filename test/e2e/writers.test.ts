import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { appendFile, mkdir, rm, writeFile } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { wholeState } from '../support/crash.ts'
import { startFileWriter, writtenFiles } from '../support/file-writer.ts'
import { makeProject, type Project } from '../support/project.ts'
import { start, until, withoutTrace } from '../support/running.ts'
import { startSqliteWriter } from '../support/sqlite-writer.ts'

/** How long staging is made to last; the tests' own default keeps them short. */
const stagingMs = Number(process.env['GIT_ENV_TEST_STAGING_MS'] ?? 2500)

type Content = { readonly notes: unknown[]; readonly tags: unknown[]; readonly written: number[] }

/** All rows, read in one transaction; `written` as the writer's numbers. */
function contentOf(file: string): Content {
  const database = new DatabaseSync(file, { readOnly: true, timeout: 10_000 })
  try {
    database.exec('BEGIN')
    const rows = (table: string) => database.prepare(`SELECT * FROM ${table} ORDER BY 1`).all()
    return { notes: rows('notes'), tags: rows('tags'), written: rows('written').map((row) => Number(row['number'])) }
  } finally {
    database.close()
  }
}

const numbersOf = (project: Project) => contentOf(project.database).written
const lastOf = (numbers: readonly number[]) => numbers.at(-1) ?? 0
const upTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1)
const missing = (wanted: readonly number[], ...places: (readonly number[])[]) => {
  const there = new Set(places.flat())
  return ranges(wanted.filter((number) => !there.has(number)))
}

/** `3-7` for what follows one another, so that a failure can be read. */
function ranges(numbers: readonly number[]): string[] {
  const found: [number, number][] = []
  for (const number of numbers) {
    const last = found.at(-1)
    if (last?.[1] === number - 1) last[1] = number
    else found.push([number, number])
  }
  return found.map((range) => range.join('-'))
}

/** Nobody is held: within seconds the writer is told of some more rows. */
async function goesOn(writer: { acknowledged(): readonly number[] }): Promise<void> {
  const goal = lastOf(writer.acknowledged()) + 5
  await until(() => lastOf(writer.acknowledged()) >= goal || undefined, `row ${goal}`)
}

describe('a restore under writers', () => {
  test.each(['wal', 'delete'] as const)(
    'that is long in staging loses no acknowledged row and no acknowledged file (%s mode)',
    { timeout: 120_000 + 8 * stagingMs },
    async (journalMode) => {
      const project = await makeProject({ journalMode })
      const rows = await startSqliteWriter(project.database)
      const files = await startFileWriter(project.uploads)
      await Promise.all([goesOn(rows), goesOn(files)])

      const beforeSnapshot = lastOf(rows.acknowledged())
      const filesBeforeSnapshot = lastOf(files.acknowledged())
      await project.ok('snapshot', '-m', 'good')
      const afterSnapshot = lastOf(rows.acknowledged()) + 1
      const good = contentOf(project.database)
      project.sql(`UPDATE notes SET text = 'ruined'`)
      const ruined = contentOf(project.database)
      await rm(`${project.uploads}/folder-0`, { recursive: true })

      const restore = start(project, ['restore', '--yes'], { at: 'restore: app staged', ms: stagingMs })
      await restore.at('restore: app staged')
      const duringStaging = lastOf(rows.acknowledged())
      await restore.at('restore: code staged')
      const staged = { row: lastOf(rows.acknowledged()), file: lastOf(files.acknowledged()) }
      expect(staged.row).toBeGreaterThan(duringStaging + stagingMs / 100)
      expect(await restore.ended).toMatchObject({ status: 0 })
      await Promise.all([goesOn(rows), goesOn(files)])

      // Restored: the snapshot's rows, and the rows of after the swap, with a gap between.
      const restored = contentOf(project.database)
      expect({ notes: restored.notes, tags: restored.tags }).toEqual({ notes: good.notes, tags: good.tags })
      const kept = restored.written.findIndex((number, i) => number !== i + 1)
      expect(kept).toBeGreaterThanOrEqual(beforeSnapshot)
      expect(kept).toBeLessThanOrEqual(afterSnapshot)
      const swap = restored.written[kept]! - 1
      expect(swap).toBeGreaterThanOrEqual(staged.row)
      expect(ranges(restored.written)).toEqual([`1-${kept}`, `${swap + 1}-${lastOf(restored.written)}`])
      const restoredFiles = writtenFiles(project.uploads)
      expect(missing(upTo(filesBeforeSnapshot), restoredFiles)).toEqual([])
      expect(readdirSync(project.uploads)).toContain('folder-0')

      const beforeUndo = { row: lastOf(rows.acknowledged()), file: lastOf(files.acknowledged()) }
      await project.ok('undo')
      await Promise.all([goesOn(rows), goesOn(files)])
      const undone = contentOf(project.database)
      expect(undone.notes).toEqual(ruined.notes)
      expect(missing(upTo(swap), undone.written)).toEqual([])
      const undoneFiles = writtenFiles(project.uploads)
      expect(missing(upTo(staged.file), undoneFiles)).toEqual([])
      expect(readdirSync(project.uploads)).not.toContain('folder-0')

      await project.ok('undo', '--redo')
      const redone = contentOf(project.database)
      expect(redone.notes).toEqual(good.notes)
      expect(missing([...upTo(kept), ...upTo(beforeUndo.row).slice(swap)], redone.written)).toEqual([])
      // A file that was open at the moment of a swap may be on either side of it; it is on one.
      expect(missing(upTo(beforeUndo.file), undoneFiles, writtenFiles(project.uploads))).toEqual([])

      // Every row that was ever acknowledged is here, or one undo away.
      await Promise.all([rows.stop(), files.stop()])
      const last = numbersOf(project)
      await project.ok('undo')
      expect(missing(rows.acknowledged(), last, numbersOf(project))).toEqual([])
      expect(project.sql('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }])
      expect(rows.errors).toEqual([])
    },
  )
})

describe('SIGKILL under a writer', () => {
  type Crash = { readonly step: string; readonly ends: 'before' | 'after' }
  const crashes: Record<string, readonly Crash[]> = {
    'of the command': [
      { step: 'restore: app staged', ends: 'before' },
      { step: 'files: staging area made', ends: 'before' },
      { step: 'app: committed', ends: 'after' },
    ],
    'of the guard': [
      { step: 'swap: held', ends: 'before' },
      { step: 'app: committed', ends: 'after' },
      { step: 'journal: done', ends: 'after' },
    ],
    'of both': [
      { step: 'app: last capture 0', ends: 'before' },
      { step: 'journal: committing', ends: 'after' },
      { step: 'app: written, not committed', ends: 'after' },
      { step: 'app: committed', ends: 'after' },
      { step: 'journal: done', ends: 'after' },
      { step: 'undo: entered', ends: 'after' },
    ],
  }

  test.each(Object.keys(crashes))('%s loses no acknowledged row, and nothing stays held', async (victim) => {
    const project = await makeProject({ journalMode: victim === 'of the guard' ? 'delete' : 'wal' })
    const rows = await startSqliteWriter(project.database)
    await goesOn(rows)
    await project.ok('snapshot', '-m', 'good', '--name', 'good')
    const tidy = leftovers(project)
    for (const { step, ends } of crashes[victim]!) {
      const before = numbersOf(project)
      const andThen = (last: number) => [...before, ...upTo(last).slice(lastOf(before))]
      const restore = start(project, ['restore', 'good', '--yes'], { at: step, ms: 800 })
      const doer = await restore.at(step)
      if (victim !== 'of the guard') process.kill(restore.pid, 'SIGKILL')
      if (victim !== 'of the command') process.kill(doer, 'SIGKILL')
      await goesOn(rows)
      await restore.ended
      await project.ok('recover', '--wait')
      await goesOn(rows)
      const recovered = numbersOf(project)
      expect({ step, ends: recovered.includes(lastOf(before)) ? 'before' : 'after' }).toEqual({ step, ends })
      if (ends === 'after') await project.ok('undo')
      const undone = numbersOf(project)
      expect(missing(before, undone)).toEqual([])
      expect(leftovers(project)).toEqual(tidy)
      expect(missing(andThen(lastOf(recovered)), recovered, undone)).toEqual([])
    }
    await rows.stop()
    expect(rows.errors).toEqual([])
    expect(project.sql('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }])
    expect(await project.ok('verify', '--data')).toContain('no damage found')
  })
})

/** What a command that was cut short must not leave behind. */
function leftovers(project: Project): string[] {
  const env = project.path('.git/env')
  const list = (directory: string) =>
    existsSync(`${env}/${directory}`) ? readdirSync(`${env}/${directory}`, { recursive: true }).map(String).sort() : []
  return [...list('journals'), ...list('activities'), ...list('services')]
}

describe('Ctrl-C', () => {
  async function ruinedProject(): Promise<Project> {
    const project = await makeProject({ journalMode: 'wal' })
    await project.ok('snapshot', '-m', 'good')
    project.sql(`UPDATE notes SET text = 'ruined'`)
    await writeFile(`${project.uploads}/new.txt`, 'new')
    await writeFile(project.path('app.js'), 'half edited\n')
    return project
  }

  test.each([
    'snapshot: point taken',
    'restore: app staged',
    'files: staging area made',
    'restore: uploads staged',
    'restore: code staged',
    'journal: staged',
    'swap: held',
  ])('at "%s" of a restore leaves everything as it was', async (step) => {
    const project = await ruinedProject()
    const bad = wholeState(project)
    const before = leftovers(project)
    const head = await project.git('rev-parse', 'HEAD')
    const restore = start(project, ['restore', '--yes'], { at: step, ms: 300 })
    await restore.at(step)
    restore.interrupt()
    const ran = await restore.ended
    expect(ran.status).toBe(130)
    expect(withoutTrace(ran.stderr)).toMatch(/^error: cancelled/)
    expect(wholeState(project)).toBe(bad)
    expect(leftovers(project)).toEqual(before)
    expect(await project.git('rev-parse', 'HEAD')).toBe(head)
    expect(await project.git('status', '--porcelain')).toBe(' M app.js')
    project.sql(`INSERT INTO notes (text) VALUES ('not held')`)
  })

  test('once the swap has begun lets it end', async () => {
    const project = await ruinedProject()
    const restore = start(project, ['restore', '--yes'], { at: 'journal: committing', ms: 300 })
    await restore.at('journal: committing')
    restore.interrupt()
    expect(await restore.ended).toMatchObject({ status: 0, stdout: expect.stringContaining('restored ') })
    expect(project.sql(`SELECT count(*) AS n FROM notes WHERE text = 'ruined'`)).toEqual([{ n: 0 }])
  })

  test.each(['snapshot: point taken', 'snapshot: stored'])('at "%s" of a snapshot leaves none', async (step) => {
    const project = await ruinedProject()
    const before = leftovers(project)
    const refs = await project.git('for-each-ref')
    const snapshot = start(project, ['snapshot'], { at: step, ms: 300 })
    await snapshot.at(step)
    snapshot.interrupt()
    const ran = await snapshot.ended
    expect(ran.status).toBe(130)
    expect(withoutTrace(ran.stderr)).toBe('error: cancelled\nhint: nothing was left half done\n')
    expect(await project.git('for-each-ref')).toBe(refs)
    expect(leftovers(project)).toEqual(before)
    await project.ok('snapshot')
  })
})

describe('a second command', () => {
  test('is told what runs, and with --wait goes on after it', async () => {
    const project = await makeProject()
    await project.ok('snapshot', '-m', 'good')
    const restore = start(project, ['restore', '--yes'], { at: 'restore: app staged', ms: 2000 })
    await restore.at('restore: app staged')
    const [refused, waited] = await Promise.all([
      project.run(['snapshot']),
      project.run(['snapshot', '-m', 'waited', '--wait']),
    ])
    expect(refused.status).toBe(7)
    expect(refused.stderr).toMatch(
      new RegExp(
        `^error: another activity runs in this environment: git env restore, for \\d s
hint: wait for it to end \\(process ${restore.pid} on .*\\), or give --wait\n$`,
      ),
    )
    expect(waited).toMatchObject({ status: 0 })
    expect(await restore.ended).toMatchObject({ status: 0 })
    const subjects = await project.git('log', '-2', '--format=%s')
    expect(subjects).toBe('snapshot: waited\nrestore: good')
  })

  test('that waits sees the environment as the first one left it', async () => {
    const project = await makeProject()
    await project.ok('snapshot', '-m', 'good')
    await mkdir(project.path('more'))
    await appendFile(project.path('.git-env.yaml'), '  more: more\n')
    await project.git('commit', '-qam', 'a further mount')
    const restore = start(project, ['restore', '--yes'], { at: 'restore: code staged', ms: 1500 })
    await restore.at('restore: code staged')
    await project.ok('snapshot', '-m', 'waited', '--wait')
    expect(await restore.ended).toMatchObject({ status: 0 })
    expect(await project.git('log', '-1', '--format=%B')).toContain('Environment main: 1 service, 1 mount,')
  })

  test('that waits can be cancelled', async () => {
    const project = await makeProject()
    await project.ok('snapshot', '-m', 'good')
    const restore = start(project, ['restore', '--yes'], { at: 'restore: app staged', ms: 2000 })
    await restore.at('restore: app staged')
    const waiting = start(project, ['snapshot', '--wait'])
    await new Promise((resolve) => setTimeout(resolve, 1000))
    waiting.interrupt()
    const ran = await waiting.ended
    expect(ran.status).toBe(130)
    expect(withoutTrace(ran.stderr)).toBe('error: cancelled\nhint: nothing was left half done\n')
    expect(await restore.ended).toMatchObject({ status: 0 })
  })
})

describe('a transaction that stays open', () => {
  test('makes a snapshot fail within its limit, naming the process, and nothing stays held', async () => {
    await Promise.all(
      (['wal', 'delete'] as const).map(async (journalMode) => {
        const project = await makeProject({ journalMode })
        project.sql('CREATE TABLE log (text TEXT)')
        await project.ok('snapshot')
        const before = leftovers(project)
        const blocker = fork(fileURLToPath(new URL('../support/sqlite-blocker.ts', import.meta.url)), [
          'hold',
          project.database,
        ])
        onTestFinished(() => void blocker.kill('SIGKILL'))
        await once(blocker, 'message')
        const ran = await project.run(['snapshot'])
        expect(ran.status).toBe(7)
        expect(ran.stderr).toMatch(
          new RegExp(
            `error: ${project.database} is being written by node \\(${blocker.pid}\\); writers could not be held within 5 s
hint: wait for its transaction to end, or end it, and run the command again\n$`,
          ),
        )
        expect(leftovers(project)).toEqual(before)
        blocker.kill('SIGKILL')
        await once(blocker, 'exit')
        project.sql(`INSERT INTO notes (text) VALUES ('not held')`)
        await project.ok('snapshot')
      }),
    )
  })
})
