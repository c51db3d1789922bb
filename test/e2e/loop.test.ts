import { appendFile, chmod, mkdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { databaseDump, treeFingerprint } from '../support/fingerprint.ts'
import { makeProject, type Project } from '../support/project.ts'

/** Everything that a restore must bring back, as comparable text. */
function stateOf(project: Project): { database: string[]; uploads: string[]; code: string[] } {
  return { database: databaseDump(project.database), uploads: treeFingerprint(project.uploads), code: codeOf(project) }
}

function codeOf(project: Project): string[] {
  const lines = treeFingerprint(project.directory, { skip: ['.git', 'data', 'uploads'] })
  return lines.slice(1).map((line) => line.replace(/ \d{15,}/, ''))
}

/** The same for data in any state: the bytes of the database's files instead of its rows. */
function ruinsOf(project: Project): {
  data: string[]
  uploads: string[] | undefined
  code: string[]
  index: Promise<string>
} {
  let uploads: string[] | undefined
  try {
    uploads = treeFingerprint(project.uploads)
  } catch {
    uploads = undefined
  }
  // Looking opens the database, which may itself leave a -shm and an empty -wal: so it comes first.
  const healthy = isHealthy(project)
  const files = treeFingerprint(project.path('data'), { skip: ['app.sqlite-shm'] })
  const data = healthy ? databaseDump(project.database) : files.slice(1)
  return { data, uploads, code: codeOf(project), index: project.git('status', '--porcelain') }
}

/** A whole database is the same when its rows are; of a ruin every byte counts, and every file left behind. */
function isHealthy(project: Project): boolean {
  try {
    databaseDump(project.database)
    return true
  } catch {
    return false
  }
}

async function breakEverything(project: Project): Promise<void> {
  project.sql(`UPDATE notes SET text = 'ruined' WHERE id % 2 = 0`)
  project.sql('DELETE FROM tags')
  project.sql('CREATE TABLE extra (a)')
  await rm(`${project.uploads}/folder-0`, { recursive: true })
  await writeFile(`${project.uploads}/folder-1/1.txt`, 'overwritten')
  await symlink('nowhere', `${project.uploads}/link`)
  await writeFile(project.path('app.js'), 'export const version = 2\n')
  await project.git('commit', '-qam', 'a bad idea')
}

describe('snapshot, restore and undo', () => {
  test.each(['wal', 'delete'] as const)(
    'bring everything back and take it back, with a database in %s mode',
    async (journalMode) => {
      const project = await makeProject({ journalMode })
      const good = stateOf(project)
      await project.ok('snapshot', '-m', 'before upgrade')
      await breakEverything(project)
      const bad = stateOf(project)
      await project.ok('restore', '--yes')
      expect(stateOf(project)).toEqual(good)
      await project.ok('undo')
      expect(stateOf(project)).toEqual(bad)
      await project.ok('undo', '--redo')
      expect(stateOf(project)).toEqual(good)
      const subjects = (await project.git('log', '--format=%s')).split('\n')
      expect(subjects).toEqual(
        [
          'redo: before redo of …',
          'undo: before restore of …',
          'restore: before upgrade',
          'a bad idea',
          'snapshot: before upgrade',
          'first',
        ].map((subject, i) =>
          i < 2 ? expect.stringMatching(subject.startsWith('redo') ? /^redo: / : /^undo: /) : subject,
        ),
      )
      expect(await project.git('status', '--porcelain')).toBe('')
    },
  )

  test('go several steps back, and forward again', async () => {
    const project = await makeProject()
    const states: unknown[] = []
    const step = async (text: string) => {
      project.sql(`INSERT INTO notes (text) VALUES ('${text}')`)
      await project.ok('snapshot', '-m', text, '--name', text)
      states.push(stateOf(project))
    }
    await step('one')
    await step('two')
    await step('three')
    await project.ok('restore', 'one', '--yes')
    await project.ok('restore', 'two', '--yes')
    await project.ok('undo')
    expect(stateOf(project)).toEqual(states[0])
    await project.ok('undo')
    expect(stateOf(project)).toEqual(states[2])
    await project.ok('undo', '--redo')
    await project.ok('undo', '--redo')
    expect(stateOf(project)).toEqual(states[1])
    const ran = await project.run(['undo', '--redo'])
    expect(ran).toMatchObject({ status: 3, stderr: expect.stringContaining('error: there is no undo to take back') })
  })

  test('leave the code alone with --data-only and --only, and the data alone with --code-only', async () => {
    const project = await makeProject()
    const good = stateOf(project)
    await project.ok('snapshot', '-m', 'good')
    await breakEverything(project)
    const bad = stateOf(project)
    await project.ok('restore', '--yes', '--data-only')
    expect(stateOf(project)).toEqual({ ...good, code: bad.code })
    await project.ok('undo')
    await project.ok('restore', '--yes', '--only', 'uploads')
    expect(stateOf(project)).toEqual({ ...bad, uploads: good.uploads })
    await project.ok('undo')
    await project.ok('restore', '--yes', '--code-only')
    expect(stateOf(project)).toEqual({ ...bad, code: good.code })
    await project.ok('undo')
    expect(stateOf(project)).toEqual(bad)
  })

  test('restore one table, or one path of a mount', async () => {
    const project = await makeProject()
    const good = stateOf(project)
    await project.ok('snapshot')
    await breakEverything(project)
    const bad = stateOf(project)
    await project.ok('restore', '--yes', '--only', 'app:tags,uploads:folder-1/1.txt')
    const now = stateOf(project)
    const rows = (state: typeof now, table: string) => state.database.filter((line) => line.startsWith(table))
    expect(rows(now, 'tags')).toEqual(rows(good, 'tags'))
    expect(rows(now, 'notes')).toEqual(rows(bad, 'notes'))
    const file = (state: typeof now) => state.uploads.find((line) => line.startsWith('folder-1/1.txt'))
    expect(file(now)).toBe(file(good))
    expect(now.uploads.filter((line) => line.startsWith('folder-0'))).toEqual([])
  })
})

describe('from ruins', () => {
  const ruins: Record<string, (project: Project) => Promise<void>> = {
    'the database gone': (project) =>
      rm(project.path('data'), { recursive: true }).then(() => mkdir(project.path('data'))),
    'the database garbage, with its -wal left behind': async (project) => {
      await writeFile(project.database, 'garbage '.repeat(1000))
      await writeFile(`${project.database}-wal`, 'stale wal')
    },
    'the database truncated': (project) => truncate(project.database, 5000),
    'the database gone, and its -wal left behind': async (project) => {
      await rename(project.database, `${project.database}-wal`)
    },
    'the database an empty file': (project) => writeFile(project.database, ''),
    'the mount gone': (project) => rm(project.uploads, { recursive: true }),
    'the mount read-only': async (project) => {
      await rm(`${project.uploads}/folder-0`, { recursive: true })
      await chmod(`${project.uploads}/folder-1`, 0o555)
      await chmod(project.uploads, 0o555)
    },
    'the mount a file': async (project) => {
      await rm(project.uploads, { recursive: true })
      await writeFile(project.uploads, 'not a folder')
    },
    'tracked files changed, deleted and staged': async (project) => {
      await writeFile(project.path('app.js'), 'half\r\nedited')
      await appendFile(project.path('.gitignore'), '*.tmp\n')
      await project.git('add', '.gitignore')
      await appendFile(project.path('.gitignore'), '*.bak\n')
      await rm(project.path('.git-env.yaml'))
    },
    'untracked files in the way of code': async (project) => {
      await project.git('rm', '-q', 'app.js')
      await project.git('commit', '-qm', 'without app.js')
      await mkdir(project.path('app.js'))
      await writeFile(project.path('app.js/inside.txt'), 'untracked, in the way')
      await writeFile(project.path('notes.txt'), 'untracked, not in the way')
    },
    'everything at once': async (project) => {
      await rm(project.uploads, { recursive: true })
      await writeFile(project.database, 'garbage')
      await writeFile(project.path('app.js'), 'half edited')
      await writeFile(project.path('new.js'), 'untracked')
    },
  }

  // In one project: the redo of one ruin is the whole environment that the next one ruins.
  test('restore brings the environment back and undo the ruins, byte for byte', { timeout: 600_000 }, async () => {
    const project = await makeProject()
    await project.ok('snapshot', '-m', 'good', '--name', 'good')
    const good = stateOf(project)
    for (const [name, ruin] of Object.entries(ruins)) {
      await ruin(project)
      const before = ruinsOf(project)
      const status = await before.index
      await project.ok('restore', 'good', '--yes')
      const restored = stateOf(project)
      expect({ name, database: restored.database, uploads: restored.uploads }).toEqual({
        name,
        database: good.database,
        uploads: good.uploads,
      })
      expect(restored.code).toEqual(expect.arrayContaining(good.code))
      await project.ok('undo')
      const after = ruinsOf(project)
      expect({ name, data: after.data, uploads: after.uploads, code: after.code }).toEqual({
        name,
        data: before.data,
        uploads: before.uploads,
        code: before.code,
      })
      expect(await after.index).toBe(status)
      await project.ok('undo', '--redo')
      expect(stateOf(project).database).toEqual(good.database)
    }
  })
})

describe('uncommitted code', () => {
  test('that a snapshot kept comes back, staged and unstaged and untracked, and undo takes it away again', async () => {
    const project = await makeProject()
    await writeFile(project.path('app.js'), 'staged\n')
    await project.git('add', 'app.js')
    await writeFile(project.path('app.js'), 'staged, then edited\r\n')
    await writeFile(project.path('new.js'), 'untracked\n')
    const state = async () => [
      codeOf(project),
      await project.git('status', '--porcelain'),
      await project.git('diff', '--cached'),
    ]
    const kept = await state()
    await project.ok('snapshot', '-m', 'in the middle of work', '--with-changes')
    await project.git('checkout', '-q', '.')
    await project.git('reset', '-q', '--hard')
    await rm(project.path('new.js'))
    const clean = await state()
    await project.ok('restore', '--yes')
    expect(await state()).toEqual(kept)
    await project.ok('undo')
    expect(await state()).toEqual(clean)
    await project.ok('undo', '--redo')
    expect(await state()).toEqual(kept)
  })

  test('is not in a snapshot without being asked for, which is said', async () => {
    const project = await makeProject()
    await writeFile(project.path('app.js'), 'edited\n')
    await writeFile(project.path('new.js'), 'untracked\n')
    const ran = await project.run(['snapshot'])
    expect(ran.stderr).toContain('hint: 2 uncommitted files not in it; --with-changes keeps them beside')
    expect(await project.git('status', '--porcelain')).toBe(' M app.js\n?? new.js')
  })
})

describe('the branch', () => {
  test('moves back with --reset and is left with --detach, and undo returns to it', async () => {
    const project = await makeProject()
    await project.ok('snapshot', '-m', 'good')
    const snapshotCommit = await project.git('rev-parse', 'HEAD~0^')
    await breakEverything(project)
    const tip = await project.git('rev-parse', 'HEAD')
    const bad = stateOf(project)
    await project.ok('restore', '--yes', '--reset')
    expect(await project.git('rev-parse', 'HEAD')).toBe(snapshotCommit)
    await project.ok('undo')
    expect(await project.git('rev-parse', 'main')).toBe(tip)
    expect(stateOf(project)).toEqual(bad)
    await project.ok('restore', '--yes', '--detach')
    await expect(project.git('symbolic-ref', '-q', 'HEAD')).rejects.toThrow()
    expect(await project.git('rev-parse', 'main')).toBe(tip)
    await project.ok('undo')
    expect(await project.git('symbolic-ref', 'HEAD')).toBe('refs/heads/main')
    expect(stateOf(project)).toEqual(bad)
  })
})
