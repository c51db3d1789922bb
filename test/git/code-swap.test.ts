import {
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { describe, expect, test } from 'vitest'
import { codeState, restoreCode, stageOptions } from '../support/code-state.ts'
import { filesIn, gitSandbox, type Sandbox } from '../support/git-sandbox.ts'

/** A repository whose snapshot S differs from HEAD: `a` and `sub/b` changed, `gone` deleted since, `new` added since. */
async function twoStates() {
  const box = await gitSandbox()
  box.write('a', 'a of S\n')
  box.write('sub/b', 'b of S\n')
  box.write('gone', 'gone of S\n')
  box.write('same', 'same\n')
  const snapshot = box.commit('S')
  box.write('a', 'a of HEAD\n')
  box.write('sub/b', 'b of HEAD\n')
  box.write('new', 'new of HEAD\n')
  rmSync(`${box.directory}/gone`)
  const head = box.commit('HEAD')
  return { box, snapshot, head }
}

const filesOfSnapshot = {
  a: 'file a of S\n',
  gone: 'file gone of S\n',
  same: 'file same\n',
  'sub/b': 'file b of S\n',
}

type Case = {
  readonly name: string
  readonly spoil: (box: Sandbox) => void
  /** Files beside the snapshot's that are left as they were. */
  readonly kept?: Record<string, string>
}

const cases: Case[] = [
  { name: 'clean', spoil: () => {} },
  { name: 'a changed file that S has otherwise', spoil: (box) => box.write('a', 'mine') },
  {
    name: 'unrelated changed and staged files',
    spoil: (box) => {
      box.write('same', 'staged')
      box.git('add', 'same')
      box.write('same', 'work tree')
    },
  },
  {
    name: 'a staged new file',
    spoil: (box) => {
      box.write('staged', 'staged')
      box.git('add', 'staged')
    },
  },
  { name: 'an untracked file in the way', spoil: (box) => box.write('gone', 'mine, untracked') },
  {
    name: 'an ignored file in the way',
    spoil: (box) => {
      box.write('.git/info/exclude', 'gone\n')
      box.write('gone', 'mine, ignored')
    },
  },
  { name: 'a changed file that S deletes', spoil: (box) => box.write('new', 'mine') },
  {
    name: 'untracked and ignored files in a folder that goes',
    spoil: (box) => {
      box.write('.git/info/exclude', '*.log\n')
      box.write('sub/untracked', 'untracked')
      box.write('sub/x.log', 'ignored')
    },
    kept: { 'sub/untracked': 'file untracked', 'sub/x.log': 'file ignored' },
  },
  {
    name: 'an ignored folder where S has a file',
    spoil: (box) => {
      box.write('.git/info/exclude', 'gone/\n')
      box.write('gone/deep/upload', 'mine')
    },
  },
  { name: 'an untracked folder where S has a file', spoil: (box) => box.write('gone/upload', 'mine') },
  {
    name: 'an untracked file where S needs a folder',
    spoil: (box) => {
      rmSync(`${box.directory}/sub`, { recursive: true })
      box.write('sub', 'a file now')
    },
  },
  {
    name: 'a symlink where S needs a folder',
    spoil: (box) => {
      rmSync(`${box.directory}/sub`, { recursive: true })
      mkdirSync(`${box.directory}/../elsewhere`)
      symlinkSync('../elsewhere', `${box.directory}/sub`)
    },
  },
  {
    name: 'deleted files',
    spoil: (box) => {
      rmSync(`${box.directory}/a`)
      rmSync(`${box.directory}/same`)
      box.git('rm', '-q', '--cached', 'new')
    },
  },
  {
    name: 'a file that was added by name only',
    spoil: (box) => {
      box.write('intent', 'intent')
      box.git('add', '-N', 'intent')
    },
  },
  {
    name: 'a file that git was told not to look at',
    spoil: (box) => {
      box.git('update-index', '--skip-worktree', 'a')
      box.git('update-index', '--assume-unchanged', 'same')
      box.write('a', 'mine')
      box.write('same', 'mine')
    },
  },
  {
    name: 'odd names',
    spoil: (box) => {
      box.write('sub/new\nline "quoted"', 'x')
      box.git('add', '.')
      writeFileSync(Buffer.from(`${box.directory}/\xfftracked`, 'latin1'), 'bytes')
      box.git('add', '.')
    },
  },
]

describe('restore of code and the way back', () => {
  test.each(cases)('$name', async ({ spoil, kept = {} }) => {
    const { box, snapshot, head } = await twoStates()
    spoil(box)
    const before = codeState(box)
    const repository = await box.open()

    const swap = await restoreCode(repository, stageOptions(box, { commit: snapshot }))

    expect(filesIn(box.directory)).toEqual({ ...filesOfSnapshot, ...kept })
    expect(box.git('rev-parse', 'HEAD^', 'HEAD^{tree}')).toBe(`${head}\n${box.git('rev-parse', `${snapshot}^{tree}`)}`)
    expect(box.git('symbolic-ref', 'HEAD')).toBe('refs/heads/main')
    expect(box.git('status', '--porcelain', '--untracked-files=no')).toBe('')

    await swap.back()
    expect(await swap.inspect()).toBe('before')
    expect(codeState(box)).toEqual(before)

    await swap.forward()
    expect(await swap.inspect()).toBe('after')
    expect(filesIn(box.directory)).toEqual({ ...filesOfSnapshot, ...kept })
    await swap.back()
    await swap.back()
    expect(codeState(box)).toEqual(before)
    await swap.discard()
    await swap.discard()
    expect(codeState(box)).toEqual(before)
    expect(box.git('for-each-ref', 'refs/env')).toBe('')
  })

  test.each(cases)('undo through what was kept: $name', async ({ spoil }) => {
    const { box, snapshot, head } = await twoStates()
    spoil(box)
    const before = codeState(box)
    const repository = await box.open()
    const swap = await restoreCode(repository, stageOptions(box, { commit: snapshot }))
    const code = await swap.before()
    expect(code.commit).toBe(head)
    await swap.discard()

    const target = { commit: code.commit, changes: code.changes?.commit }
    const undo = await restoreCode(repository, stageOptions(box, { commit: head, target }))
    await undo.discard()

    const { files, index, status } = codeState(box)
    expect(files).toEqual(before.files)
    expect(index.replaceAll(/^[a-zS] /gm, 'H ')).toBe(before.index.replaceAll(/^[a-zS] /gm, 'H '))
    if (!/^[a-zS] /m.test(before.index)) expect(status).toBe(before.status)
  })
})

test('a conflict, a rebase, a cherry-pick and a bisect are refused, and nothing changes', async () => {
  const { box, snapshot } = await twoStates()
  const repository = await box.open()
  box.git('switch', '-q', '-c', 'other', snapshot)
  box.write('a', 'theirs')
  const theirs = box.commit('theirs')
  box.git('switch', '-q', 'main')
  const operations = [
    ['merge', 'other'],
    ['rebase', 'other'],
    ['cherry-pick', theirs],
    ['revert', snapshot],
  ] as const
  for (const [command, argument] of operations) {
    expect(() => box.git(command, argument)).toThrow()
    const before = codeState(box)
    await expect(repository.code.stage(stageOptions(box, { commit: snapshot })), command).rejects.toMatchObject({
      code: 'refused',
      message: `a ${command} is in progress`,
    })
    expect(codeState(box)).toEqual(before)
    box.git(command, '--abort')
  }
  box.git('bisect', 'start')
  await expect(repository.code.stage(stageOptions(box, { commit: snapshot }))).rejects.toMatchObject({
    message: 'a bisect is in progress',
  })
})

test('what belongs to a mount or a service is never moved out of the way', async () => {
  const { box, snapshot } = await twoStates()
  box.write('gone/upload.jpg', 'upload')
  const repository = await box.open()
  const options = stageOptions(box, { commit: snapshot, exclude: new Set(['gone/upload.jpg']) })
  await expect(repository.code.stage(options)).rejects.toMatchObject({ code: 'refused' })
  const mount = stageOptions(box, { commit: snapshot, exclude: new Set(['gone']) })
  await expect(repository.code.stage(mount)).rejects.toMatchObject({ code: 'refused' })
  expect(box.read('gone/upload.jpg')).toBe('upload')
})

test('an edit after the last capture ends in what undo brings back', async () => {
  const { box, snapshot } = await twoStates()
  const repository = await box.open()
  const swap = await repository.code.swap(
    await repository.code.stage(stageOptions(box, { commit: snapshot })),
    () => {},
  )
  await swap.lastCapture()
  box.write('a', 'edited late')
  box.write('gone', 'made late')
  await swap.forward()
  expect(box.read('a')).toBe('a of S\n')
  const { changes } = await swap.before()
  expect(box.git('cat-file', 'blob', `${changes!.commit}:a`)).toBe('edited late')
  expect(box.git('cat-file', 'blob', `${changes!.commit}:gone`)).toBe('made late')
  await swap.back()
  expect(box.read('a')).toBe('edited late')
  expect(box.read('gone')).toBe('made late')
})

test('what was kept ahead of the hold is not written again inside it, unless it has changed', async () => {
  const { box, snapshot } = await twoStates()
  box.write('same', 'staged')
  box.git('add', 'same')
  box.write('same', 'work tree')
  box.write('untracked', 'untracked')
  const log = `${box.directory}/.git/commands`
  const repository = await box.open(undefined, { GIT_TRACE2_EVENT: log })
  const stage = async () => repository.code.stage(stageOptions(box, { commit: snapshot }))
  const swap = await repository.code.swap(await stage(), () => {})
  await swap.prepare!()
  writeFileSync(log, '')
  const first = (await swap.lastCapture())['captured']
  expect(readFileSync(log, 'utf8')).not.toMatch(/"(write-tree|commit-tree)"/)
  expect(first).toEqual(await repository.code.keepChanges({ exclude: new Set() }))

  for (const change of [
    () => box.write('same', 'work t...'),
    () => box.git('add', 'same'),
    () => box.write('untracked', 'elsewhere'),
    () => box.git('rm', '-q', '--cached', 'same'),
  ]) {
    await swap.prepare!()
    change()
    const captured = (await swap.lastCapture())['captured']
    expect(captured).toEqual(await repository.code.keepChanges({ exclude: new Set() }))
    expect(captured).not.toEqual(first)
  }
})

test('an edit between setting aside and moving is set aside too', async () => {
  const { box, snapshot } = await twoStates()
  box.write('same', 'mine')
  const repository = await box.open()
  const staged = await repository.code.stage(stageOptions(box, { commit: snapshot }))
  let edits = 0
  const swap = await repository.code.swap(staged, (step) => {
    if (step === 'code: moving' && edits++ === 0) {
      box.write('a', 'edited in between')
      box.write('gone', 'made in between')
    }
  })
  await swap.lastCapture()
  await swap.forward()
  expect(box.read('a')).toBe('a of S\n')
  const { changes } = await swap.before()
  expect(box.git('cat-file', 'blob', `${changes!.commit}:a`)).toBe('edited in between')
  await swap.back()
  expect(box.read('a')).toBe('edited in between')
  expect(box.read('gone')).toBe('made in between')
  expect(box.read('same')).toBe('mine')
})

test('a program that has a set-aside file open goes on writing into it', async () => {
  const { box, snapshot } = await twoStates()
  const file = openSync(`${box.directory}/a`, 'a')
  writeSync(file, 'one\n')
  const { ino } = statSync(`${box.directory}/a`)
  const repository = await box.open()
  const swap = await restoreCode(repository, stageOptions(box, { commit: snapshot }))
  writeSync(file, 'two\n')
  const { changes } = await swap.before()
  expect(box.git('cat-file', 'blob', `${changes!.commit}:a`)).toBe('a of HEAD\none\ntwo')
  await swap.back()
  expect(statSync(`${box.directory}/a`).ino).toBe(ino)
  expect(readFileSync(`${box.directory}/a`, 'utf8')).toBe('a of HEAD\none\ntwo\n')
})

test('edits after the swap are not lost on the way back', async () => {
  const { box, snapshot, head } = await twoStates()
  const repository = await box.open()
  const swap = await restoreCode(repository, stageOptions(box, { commit: snapshot }))
  box.write('a', 'edited after')
  await swap.back()
  expect(box.read('a')).toBe('a of HEAD\n')
  expect(box.git('rev-parse', 'HEAD')).toBe(head)
  await swap.discard()
  const kept = box.git('ls-tree', '-r', '--name-only', 'refs/env/kept/01jd3k0000000000000000000r')
  expect(box.git('cat-file', 'blob', `refs/env/kept/01jd3k0000000000000000000r:${kept}`)).toBe('edited after')
})

test('a branch that moved since staging is left alone', async () => {
  const { box, snapshot } = await twoStates()
  const repository = await box.open()
  const swap = await repository.code.swap(
    await repository.code.stage(stageOptions(box, { commit: snapshot })),
    () => {},
  )
  await swap.lastCapture()
  box.write('late', 'late')
  const late = box.commit('late')
  await expect(swap.forward()).rejects.toMatchObject({ code: 'refused' })
  expect(box.git('rev-parse', 'HEAD')).toBe(late)
  expect(await swap.inspect()).toBe('before')
  expect(box.git('status', '--porcelain')).toBe('')
})

test('detach leaves the branch, and goes back to it', async () => {
  const { box, snapshot, head } = await twoStates()
  box.write('a', 'mine')
  const before = codeState(box)
  const repository = await box.open()
  const swap = await restoreCode(repository, stageOptions(box, { commit: snapshot, mode: 'detach' }))
  expect(box.git('rev-parse', 'HEAD', 'main')).toBe(`${snapshot}\n${head}`)
  expect(filesIn(box.directory)).toEqual(filesOfSnapshot)
  await swap.back()
  expect(codeState(box)).toEqual(before)
})

test('reset moves the branch back, keeps its tip, and can end on a branch that HEAD was not on', async () => {
  const { box, snapshot, head } = await twoStates()
  box.write('a', 'mine')
  const before = codeState(box)
  const repository = await box.open()
  const options = stageOptions(box, { commit: snapshot, mode: 'reset' })
  const swap = await restoreCode(repository, options)
  expect(box.git('rev-parse', 'main', `refs/env/undo/${options.id}`)).toBe(`${snapshot}\n${head}`)
  await swap.back()
  expect(codeState(box)).toEqual(before)
  await swap.discard()

  box.git('checkout', '-q', '-f', '--detach', snapshot)
  const detached = codeState(box)
  const id = '01jd3k0000000000000000000s'
  const attach = await restoreCode(
    repository,
    stageOptions(box, { commit: head, mode: 'reset', ref: 'refs/heads/main', id }),
  )
  expect(box.git('symbolic-ref', 'HEAD')).toBe('refs/heads/main')
  await attach.back()
  expect(codeState(box)).toEqual(detached)
})

test('the record alone moves the branch and touches no file', async () => {
  const { box, snapshot, head } = await twoStates()
  box.write('a', 'mine')
  box.write('staged', 'staged')
  box.git('add', 'staged')
  const before = codeState(box)
  const repository = await box.open()
  const swap = await restoreCode(repository, stageOptions(box, { commit: snapshot, mode: 'none' }))
  const { files, index, status } = codeState(box)
  expect({ files, index, status }).toEqual({ files: before.files, index: before.index, status: before.status })
  expect(box.git('rev-parse', 'HEAD^', 'HEAD^{tree}')).toBe(`${head}\n${box.git('rev-parse', `${head}^{tree}`)}`)
  await swap.back()
  expect(codeState(box)).toEqual(before)
})

test('in a bare repository only the branch moves', async () => {
  const { box, snapshot, head } = await twoStates()
  box.gitIn('/', 'clone', '-q', '--bare', box.directory, `${box.directory}-bare`)
  const bare = await box.open(`${box.directory}-bare`)
  expect(bare.topLevel).toBeUndefined()
  const options = { ...stageOptions(box, { commit: snapshot }), asideDirectory: `${box.directory}-bare/env/aside` }
  const swap = await restoreCode(bare, options)
  expect(box.gitIn(`${box.directory}-bare`, 'rev-parse', 'main^')).toBe(head)
  await swap.back()
  expect(box.gitIn(`${box.directory}-bare`, 'rev-parse', 'main')).toBe(head)
})

test('preview counts what would change and changes nothing', async () => {
  const { box, snapshot } = await twoStates()
  box.write('a', 'mine')
  box.write('gone', 'in the way')
  const before = codeState(box)
  const repository = await box.open()
  expect(await repository.code.preview({ commit: snapshot, changes: undefined }, { exclude: new Set() })).toEqual({
    added: 1,
    changed: 2,
    removed: 1,
    setAside: 2,
  })
  expect(codeState(box)).toEqual(before)
  expect(existsSync(`${box.directory}/.git/env`)).toBe(false)
})
