import { execFile } from 'node:child_process'
import { readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { databaseDump, treeFingerprint } from '../support/fingerprint.ts'
import { makeProject, Project } from '../support/project.ts'
import { temporaryDirectory } from '../support/temporary.ts'

test('an exported snapshot is a tar archive of files that other tools read, and another clone can import it', async () => {
  const project = await makeProject({ files: 30 })
  await writeFile(Buffer.concat([Buffer.from(`${project.uploads}/`), Buffer.from([0xff, 0x41])]), 'not UTF-8')
  const good = [databaseDump(project.database), treeFingerprint(project.uploads)]
  await project.ok('snapshot', '-m', 'to travel')
  const [snapshot] = await project.json<{ id: string; manifest: string }[]>('log', '--snapshots')
  const archive = path.join(await temporaryDirectory(), 'snapshot.tar')
  await project.ok('export', 'latest', archive)

  const opened = await temporaryDirectory()
  await promisify(execFile)('tar', ['-xf', archive, '-C', opened])
  expect(databaseDump(path.join(opened, 'app/app.sqlite'))).toEqual(good[0])
  expect(await readFile(path.join(opened, 'uploads/folder-1/1.txt'), 'utf8')).toBe('file 1\n'.repeat(2))

  // A clone that has the code and none of the data: its snapshot reference, store and databases are gone.
  await project.git('reset', '-q', '--hard', 'HEAD~1')
  await project.git('update-ref', '-d', `refs/env/snapshots/${snapshot!.id}`)
  await project.git('reflog', 'expire', '--expire=now', '--all')
  await project.git('gc', '-q', '--prune=now')
  await rm(project.path('.git/env'), { recursive: true })
  await rm(project.uploads, { recursive: true })
  await rm(project.path('data'), { recursive: true })
  await project.ok('init')
  await project.ok('import', archive)
  expect(await project.json('log', '--snapshots')).toMatchObject([
    { id: snapshot!.id, manifest: snapshot!.manifest, state: 'here' },
  ])
  await project.ok('restore', '--yes')
  expect([databaseDump(project.database), treeFingerprint(project.uploads)]).toEqual(good)
  const again = await project.run(['import', archive])
  expect(again).toMatchObject({ status: 3, stderr: expect.stringContaining('is already in this repository') })
})

test('an export never overwrites a file unless told', async () => {
  const project = await makeProject()
  await project.ok('snapshot')
  const directory = await temporaryDirectory()
  const archive = path.join(directory, 'snapshot.tar')
  const link = path.join(directory, 'link.tar')
  await writeFile(archive, 'mine')
  await symlink('nowhere', link)
  for (const file of [archive, link]) {
    const refused = await project.run(['export', 'latest', file])
    expect(refused).toMatchObject({
      status: 3,
      stderr: `error: ${file} is there already\nhint: give another name, or --force to replace it\n`,
    })
  }
  expect(await readFile(archive, 'utf8')).toBe('mine')
  await project.ok('export', 'latest', archive, '--force')
  await promisify(execFile)('tar', ['-tf', archive])
  expect((await readdir(directory)).sort()).toEqual(['link.tar', 'snapshot.tar'])
})

test('an archive with uncommitted code that is not here is refused before anything is stored', async () => {
  const project = await makeProject()
  await writeFile(project.path('app.js'), 'half edited')
  await project.ok('snapshot', '-m', 'half way', '--with-changes')
  const [{ id }] = await project.json<[{ id: string }]>('log', '--snapshots')
  const changes = await project.git('rev-parse', `refs/env/changes/${id}`)
  const archive = path.join(await temporaryDirectory(), 'snapshot.tar')
  await project.ok('export', 'latest', archive)
  const clone = new Project(path.join(await temporaryDirectory(), 'clone'), project.home)
  await project.git('clone', '-q', project.directory, clone.directory)
  await clone.git('reset', '-q', '--hard', 'HEAD~1')
  await clone.git('reflog', 'expire', '--expire=now', '--all')
  await clone.git('update-ref', '-d', 'refs/remotes/origin/HEAD')
  await clone.git('update-ref', '-d', 'refs/remotes/origin/main')
  await clone.git('gc', '-q', '--prune=now')
  await clone.ok('init')
  const store = () => readdir(clone.path('.git/env/store'), { recursive: true })
  const before = await store()
  const ref = `refs/env/changes/${id}`
  expect(await clone.run(['import', archive])).toMatchObject({
    status: 3,
    stderr:
      expect.stringContaining(`error: the snapshot has uncommitted code, kept as commit ${changes}, which this repository does not have
hint: git fetch ${ref}:${ref} from where it was taken, then import again
`),
  })
  expect(await store()).toEqual(before)
  await clone.git('fetch', '-q', 'origin', `${ref}:${ref}`)
  await clone.ok('import', archive)
  await clone.ok('restore', '--yes')
  expect(await readFile(clone.path('app.js'), 'utf8')).toBe('half edited')
})

test('in a clone that has no data yet, verify says that it saw only what is here', async () => {
  const project = await makeProject()
  await project.ok('snapshot')
  expect(await project.ok('verify')).toMatch(/\nno damage found\n$/)
  const clone = new Project(path.join(await temporaryDirectory(), 'clone'), project.home)
  await project.git('clone', '-q', project.directory, clone.directory)
  await clone.ok('init')
  await clone.ok('reindex')
  const ran = await clone.run(['verify'])
  expect(ran.stdout).toMatch(/\nno damage found in what is here\n$/)
  expect(ran.stderr).toBe('warning: the data of 1 snapshot in Git is not in this store\n')
})

test('an archive that is none, cut short or changed is refused, and nothing is recorded', async () => {
  const project = await makeProject()
  await project.ok('snapshot')
  const archive = path.join(await temporaryDirectory(), 'snapshot.tar')
  await project.ok('export', 'latest', archive)
  const [{ id }] = await project.json<[{ id: string }]>('log', '--snapshots')
  await project.git('update-ref', '-d', `refs/env/snapshots/${id}`)
  await project.git('reset', '-q', '--hard', 'HEAD~1')
  await project.git('reflog', 'expire', '--expire=now', '--all')
  await project.git('gc', '-q', '--prune=now')
  const bytes = await readFile(archive)
  const changed = Buffer.from(bytes)
  changed[bytes.indexOf('file 1\n')] = 0x46
  await writeFile(archive, changed)
  expect(await project.run(['import', archive])).toMatchObject({ status: 5, stderr: expect.stringMatching(/^error: /) })
  await truncate(archive, 2000)
  expect(await project.run(['import', archive])).toMatchObject({ status: 5, stderr: expect.stringMatching(/^error: /) })
  await writeFile(archive, 'no archive')
  expect(await project.run(['import', archive])).toMatchObject({ status: 5, stderr: expect.stringMatching(/^error: /) })
  expect(await project.run(['import', 'nowhere.tar'])).toMatchObject({ status: 4 })
  expect(await project.json('log', '--snapshots', '--all')).toEqual([])
  expect((await readdir(project.path('.git/env'))).filter((name) => name.startsWith('.git-env-export'))).toEqual([])
})
