import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { codeState, restoreCode, stageOptions } from '../support/code-state.ts'
import { filesIn, gitSandbox, type Sandbox, sandboxIn } from '../support/git-sandbox.ts'

/** Two commits; gives the first. */
function twoCommits(box: Sandbox): string {
  box.write('a', 'a of S\n')
  const snapshot = box.commit('S')
  box.write('a', 'a of HEAD\n')
  box.write('new', 'new\n')
  box.commit('HEAD')
  return snapshot
}

/** Restores, checks, goes back, restores again and undoes by what was kept; every state must be exact. */
async function thereAndBack(box: Sandbox, snapshot: string, expected: Record<string, string>): Promise<void> {
  const before = codeState(box)
  const repository = await box.open()
  const first = await restoreCode(repository, stageOptions(box, { commit: snapshot }))
  expect(filesIn(box.directory)).toMatchObject(expected)
  await first.back()
  expect(codeState(box)).toEqual(before)
  await first.discard()

  const second = await restoreCode(
    repository,
    stageOptions(box, { commit: snapshot, id: '01jd3k0000000000000000000s' }),
  )
  const code = await second.before()
  await second.discard()
  const target = { commit: code.commit, changes: code.changes?.commit }
  const undo = stageOptions(box, { commit: code.commit, target, id: '01jd3k0000000000000000000t' })
  await (await restoreCode(repository, undo)).discard()
  const { files, index, status } = codeState(box)
  expect({ files, index, status }).toEqual({ files: before.files, index: before.index, status: before.status })
}

test('in a linked work tree', async () => {
  const box = await gitSandbox()
  const snapshot = twoCommits(box)
  const linked = `${box.directory}-linked`
  box.git('worktree', 'add', '-q', '-b', 'other', linked)
  const other = sandboxIn(linked)
  other.write('a', 'mine')
  const main = codeState(box)
  await thereAndBack(other, snapshot, { a: 'file a of S\n' })
  const { branches, ...rest } = codeState(box)
  expect(rest).toEqual({ head: main.head, index: main.index, status: main.status, files: main.files })
  expect(branches).toContain('refs/heads/other')
})

test('in a SHA-256 repository', async () => {
  const box = await gitSandbox({ init: ['--object-format=sha256'] })
  const snapshot = twoCommits(box)
  rmSync(`${box.directory}/a`)
  box.write('staged', 'staged')
  box.git('add', 'staged')
  box.write('untracked', '')
  await thereAndBack(box, snapshot, { a: 'file a of S\n' })
})

test('with line endings and filters: what was changed comes back byte for byte', async () => {
  const box = await gitSandbox()
  box.git('config', 'core.autocrlf', 'true')
  box.git('config', 'filter.swap.clean', 'tr a-z A-Z')
  box.git('config', 'filter.swap.smudge', 'tr A-Z a-z')
  box.write('.gitattributes', '*.up filter=swap -text\n')
  box.write('x.up', 'text of s')
  box.write('crlf.txt', 'one\r\ntwo\r\n')
  const snapshot = box.commit('S')
  box.write('x.up', 'text of head')
  box.write('crlf.txt', 'one\r\ntwo\r\nthree\r\n')
  box.commit('HEAD')
  box.write('x.up', 'Mixed Case, as no filter would give it')
  box.write('crlf.txt', 'mixed\r\nline\nendings\n')
  await thereAndBack(box, snapshot, { 'x.up': 'file text of s', 'crlf.txt': 'file one\r\ntwo\r\n' })
})

test('with executable bits, symlinks, empty files and names that are no text', async () => {
  const box = await gitSandbox()
  box.write('run', '#!/bin/sh\n')
  symlinkSync('run', `${box.directory}/link`)
  box.write('empty', '')
  writeFileSync(Buffer.from(`${box.directory}/\xff`, 'latin1'), 'of S')
  const snapshot = box.commit('S')
  chmodSync(`${box.directory}/run`, 0o755)
  rmSync(`${box.directory}/link`)
  box.write('link', 'a file now')
  box.commit('HEAD')
  rmSync(`${box.directory}/link`)
  symlinkSync('/nowhere', `${box.directory}/link`)
  chmodSync(`${box.directory}/run`, 0o644)
  writeFileSync(Buffer.from(`${box.directory}/\xff`, 'latin1'), 'mine')
  writeFileSync(Buffer.from(`${box.directory}/\xfe\n`, 'latin1'), 'untracked')
  box.write('run-me', 'x', 0o755)
  await thereAndBack(box, snapshot, { link: 'link run', run: 'file #!/bin/sh\n', '\xff': 'file of S' })
})

test('with a submodule, whose own files are never touched', async () => {
  const library = await gitSandbox()
  library.write('lib.c', '1')
  library.commit('lib')
  const box = await gitSandbox()
  box.write('a', 'a of S')
  box.git('-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', library.directory, 'lib')
  const snapshot = box.commit('S')
  box.write('a', 'a of HEAD')
  box.commit('HEAD')
  box.write('a', 'mine')
  await thereAndBack(box, snapshot, { a: 'file a of S', 'lib/lib.c': 'file 1' })

  box.write('lib/lib.c', 'changed inside')
  const repository = await box.open()
  await expect(repository.code.stage(stageOptions(box, { commit: snapshot }))).rejects.toMatchObject({
    code: 'refused',
    message: 'the submodule lib has changes of its own',
  })
})

test('another repository in the way is refused', async () => {
  const box = await gitSandbox()
  box.write('lib', 'a file')
  const snapshot = box.commit('S')
  rmSync(`${box.directory}/lib`)
  box.commit('HEAD')
  box.gitIn('/', 'init', '-q', `${box.directory}/lib/inner`)
  const repository = await box.open()
  await expect(repository.code.stage(stageOptions(box, { commit: snapshot }))).rejects.toMatchObject({
    message: 'another Git repository is in the way: lib/inner',
  })
})

// Only root may mount.
if (process.getuid?.() === 0 && canMount()) {
  // Only root may mount; elsewhere the path is covered by the names of mounts, which every user's run tests.
  test.runIf(process.getuid?.() === 0 && canMount())(
    'a mounted folder in the way is refused and keeps its files',
    async () => {
      const box = await gitSandbox()
      box.write('media', 'a file')
      const snapshot = box.commit('S')
      rmSync(`${box.directory}/media`)
      box.commit('HEAD')
      box.write('.git/info/exclude', 'media\n')
      mkdirSync(`${box.directory}/media/deep`, { recursive: true })
      mkdirSync(`${box.directory}-volume`)
      writeFileSync(`${box.directory}-volume/upload`, 'upload')
      expect(spawnSync('mount', ['--bind', `${box.directory}-volume`, `${box.directory}/media/deep`]).status).toBe(0)
      onTestFinished(() => void spawnSync('umount', [`${box.directory}/media/deep`]))
      const repository = await box.open()
      await expect(repository.code.stage(stageOptions(box, { commit: snapshot }))).rejects.toMatchObject({
        code: 'refused',
        hint: 'a file system is mounted there: unmount it first',
      })
      expect(existsSync(`${box.directory}/media/deep/upload`)).toBe(true)
    },
  )
}

function canMount(): boolean {
  return spawnSync('unshare', ['--mount', 'true']).status === 0
}

test('a hook that fails after the move is not a move that failed', async () => {
  const box = await gitSandbox()
  const snapshot = twoCommits(box)
  box.write('.git/hooks/post-merge', '#!/bin/sh\nexit 1\n', 0o755)
  box.write('.git/hooks/post-checkout', '#!/bin/sh\nexit 1\n', 0o755)
  const repository = await box.open()
  const swap = await restoreCode(repository, stageOptions(box, { commit: snapshot, mode: 'detach' }))
  expect(box.git('rev-parse', 'HEAD')).toBe(snapshot)
  await swap.back()
  await restoreCode(repository, stageOptions(box, { commit: snapshot, id: '01jd3k0000000000000000000s' }))
  expect(box.read('a')).toBe('a of S\n')
})

test('a move that git cannot finish leaves everything as it was', async () => {
  const box = await gitSandbox()
  box.git('config', 'filter.broken.required', 'true')
  box.git('config', 'filter.broken.clean', 'cat')
  box.git('config', 'filter.broken.smudge', 'false')
  box.write('.gitattributes', 'z filter=broken\n')
  box.write('a', 'a of S')
  box.write('z', 'z of S')
  const snapshot = box.commit('S')
  box.write('a', 'a of HEAD')
  box.git('rm', '-q', '--cached', 'z')
  rmSync(`${box.directory}/z`)
  box.git('commit', '-q', '-a', '-m', 'HEAD')
  box.write('mine', 'mine')
  box.git('add', 'mine')
  const before = codeState(box)
  const repository = await box.open()
  const swap = await repository.code.swap(
    await repository.code.stage(stageOptions(box, { commit: snapshot })),
    () => {},
  )
  await swap.lastCapture()
  await expect(swap.forward()).rejects.toMatchObject({ code: 'unavailable' })
  await swap.back()
  expect(await swap.inspect()).toBe('before')
  expect(codeState(box)).toEqual(before)
})
