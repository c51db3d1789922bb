import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { filesIn, gitSandbox, type Sandbox } from '../support/git-sandbox.ts'

const none = new Set<string>()

/** The files of a tree as `filesIn` gives those of a folder. */
function tree(box: Sandbox, name: string): Record<string, string> {
  const files: Record<string, string> = {}
  for (const record of box.git('ls-tree', '-r', '-z', name).split('\0')) {
    const match = /^(\d+) blob ([0-9a-f]+)\t(.*)$/s.exec(record)
    if (!match) continue
    const kind = match[1] === '120000' ? 'link' : match[1] === '100755' ? 'run' : 'file'
    files[match[3]!] = `${kind} ${box.git('cat-file', 'blob', match[2]!)}`
  }
  return files
}

test('keeps the work tree, the index and untracked files apart, and touches none of them', async () => {
  const box = await gitSandbox()
  box.write('changed', 'old')
  box.write('staged', 'old')
  box.write('gone', 'old')
  box.write('same', 'same')
  box.commit('first')
  box.write('.git/info/exclude', '*.log\n')
  box.write('changed', 'new')
  box.write('staged', 'index')
  box.git('add', 'staged')
  box.write('staged', 'work tree')
  rmSync(`${box.directory}/gone`)
  box.write('dir/untracked', 'untracked')
  box.write('intent', 'intent')
  box.git('add', '-N', 'intent')
  box.write('run', '#!/bin/sh')
  chmodSync(`${box.directory}/run`, 0o755)
  symlinkSync('no/such', `${box.directory}/link`)
  box.write('empty', '')
  box.write('x.log', 'ignored')
  const before = [box.git('status', '--porcelain=v2'), filesIn(box.directory)]
  const repository = await box.open()

  const kept = await repository.code.keepChanges({ exclude: none })

  expect(kept!.files).toBe(8)
  const { 'x.log': ignored, ...expected } = filesIn(box.directory)
  expect(ignored).toBe('file ignored')
  expect(tree(box, kept!.commit)).toEqual(expected)
  expect(tree(box, `${kept!.commit}^2`)).toEqual({
    changed: 'file old',
    gone: 'file old',
    same: 'file same',
    staged: 'file index',
  })
  expect(Object.keys(tree(box, `${kept!.commit}^3`)).sort()).toEqual(['dir/untracked', 'empty', 'link', 'run'])
  expect(box.git('rev-parse', `${kept!.commit}^1`)).toBe(box.git('rev-parse', 'HEAD'))
  expect([box.git('status', '--porcelain=v2'), filesIn(box.directory)]).toEqual(before)
  expect(await repository.code.keepChanges({ exclude: none })).toEqual(kept)
})

test('odd names and bytes are kept as they are, whatever filters say', async () => {
  const box = await gitSandbox()
  box.git('config', 'core.autocrlf', 'true')
  box.git('config', 'filter.upper.clean', 'tr a-z A-Z')
  box.write('.gitattributes', '*.up filter=upper\n')
  box.write('crlf.txt', 'a\r\nb\r\n')
  box.commit('first')
  const names = ['new\nline', 'quo"te', 'back\\slash', ' leading', 'tab\t', '-dash', 'naïve', ':colon', 'café']
  for (const name of names) box.write(name, name)
  writeFileSync(Buffer.from(`${box.directory}/\xff\xfe`, 'latin1'), Buffer.from([0, 1, 2, 255, 13, 10]))
  box.write('crlf.txt', 'a\r\nb\nc\r\n')
  box.write('x.up', 'lower')
  mkdirSync(`${box.directory}/empty`)
  const repository = await box.open()

  const kept = await repository.code.keepChanges({ exclude: none })

  const ids = box.git('ls-tree', '-r', '-z', '--name-only', kept!.commit)
  expect(ids.split('\0').filter(Boolean)).toHaveLength(names.length + 4)
  expect(box.git('cat-file', 'blob', `${kept!.commit}:crlf.txt`)).toBe('a\r\nb\nc\r')
  expect(box.git('cat-file', 'blob', `${kept!.commit}:x.up`)).toBe('lower')
  for (const name of names) expect(box.git('cat-file', 'blob', `${kept!.commit}:${name}`)).toBe(name)
})

test('untracked files of mounts and services are not code; tracked files in a mount are', async () => {
  const box = await gitSandbox()
  box.write('media/.gitkeep', '')
  box.write('app.sqlite', 'tracked by mistake')
  box.commit('first')
  box.write('media/.gitkeep', 'changed')
  box.write('media/upload.jpg', 'upload')
  box.write('app.sqlite', 'live')
  const repository = await box.open()

  const exclude = new Set(['media', 'app.sqlite'])
  expect(await repository.code.status({ exclude })).toEqual({ changed: ['media/.gitkeep'], untracked: [] })
  const kept = await repository.code.keepChanges({ exclude })
  expect(box.git('diff', '--name-only', 'HEAD', kept!.commit)).toBe('media/.gitkeep')
})

test('nothing changed keeps nothing; a conflict is refused', async () => {
  const box = await gitSandbox()
  box.write('a', '1')
  box.commit('first')
  const repository = await box.open()
  expect(await repository.code.keepChanges({ exclude: none })).toBeUndefined()

  box.git('switch', '-q', '-c', 'other')
  box.write('a', '2')
  box.commit('theirs')
  box.git('switch', '-q', 'main')
  box.write('a', '3')
  box.commit('ours')
  expect(() => box.git('merge', 'other')).toThrow()
  await expect(repository.code.keepChanges({ exclude: none })).rejects.toMatchObject({
    code: 'refused',
    message: 'a conflict is not resolved: a',
  })
  expect(await repository.operationInProgress('refs/heads/main')).toBe('a merge')
})

test('a file that the user told git not to look at is seen all the same', async () => {
  const box = await gitSandbox()
  box.write('config.php', 'shared')
  box.commit('first')
  box.git('update-index', '--skip-worktree', 'config.php')
  box.write('config.php', 'mine')
  const repository = await box.open()
  expect((await repository.code.status({ exclude: none })).changed).toEqual(['config.php'])
  const kept = await repository.code.keepChanges({ exclude: none })
  expect(box.git('cat-file', 'blob', `${kept!.commit}:config.php`)).toBe('mine')
})
