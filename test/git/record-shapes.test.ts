import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import type { GitRepository } from '../../src/git/git-repository.ts'
import { filesIn, gitSandbox, type Sandbox } from '../support/git-sandbox.ts'
import { sampleSnapshot, takeSample } from '../support/sample-snapshot.ts'

type Shape = {
  readonly name: string
  readonly init?: readonly string[]
  /** Gives where to open, with which variables, and the branch that must move. */
  readonly make: (box: Sandbox) => {
    directory?: string
    environment?: Record<string, string>
    ref?: string | undefined
  }
}

const shapes: Shape[] = [
  { name: 'changed and staged files', make: spoil },
  {
    name: 'a subdirectory',
    make: (box) => {
      mkdirSync(`${box.directory}/deep/er`, { recursive: true })
      return { directory: `${box.directory}/deep/er` }
    },
  },
  {
    name: 'a branch that is not checked out',
    make: (box) => {
      box.git('branch', 'other')
      return { ref: 'refs/heads/other' }
    },
  },
  {
    name: 'a branch that is checked out in another work tree',
    make: (box) => {
      box.git('worktree', 'add', '-q', '-b', 'other', `${box.directory}-other`)
      return { ref: 'refs/heads/other' }
    },
  },
  {
    name: 'a linked work tree',
    make: (box) => {
      box.git('worktree', 'add', '-q', '-b', 'other', `${box.directory}-other`)
      return { directory: `${box.directory}-other`, ref: 'refs/heads/other' }
    },
  },
  {
    name: 'a branch whose name ends in a wide space',
    make: (box) => {
      box.git('branch', 'feature')
      box.git('checkout', '-q', '-b', 'feature\u3000')
      return { ref: 'refs/heads/feature\u3000' }
    },
  },
  {
    name: 'a detached HEAD',
    make: (box) => {
      box.git('checkout', '-q', '--detach')
      return { ref: undefined }
    },
  },
  { name: 'SHA-256', init: ['--object-format=sha256'], make: spoil },
  {
    name: 'a bare repository',
    make: (box) => {
      box.gitIn('/', 'clone', '-q', '--bare', box.directory, `${box.directory}-bare`)
      return { directory: `${box.directory}-bare` }
    },
  },
  {
    name: 'a clone that shares objects',
    make: (box) => {
      box.gitIn('/', 'clone', '-q', '--shared', box.directory, `${box.directory}-shared`)
      return { directory: `${box.directory}-shared` }
    },
  },
  {
    name: 'a shallow clone',
    make: (box) => {
      box.gitIn('/', 'clone', '-q', '--depth=1', `file://${box.directory}`, `${box.directory}-shallow`)
      return { directory: `${box.directory}-shallow` }
    },
  },
  {
    name: 'a treeless clone whose origin is gone',
    make: (box) => {
      box.git('config', 'uploadpack.allowFilter', 'true')
      const clone = `${box.directory}-treeless`
      box.gitIn('/', 'clone', '-q', '--filter=tree:0', `file://${box.directory}`, clone)
      box.gitIn(clone, 'remote', 'set-url', 'origin', `${box.directory}-nowhere`)
      return { directory: clone }
    },
  },
  {
    name: 'a submodule',
    make: (box) => {
      const parent = `${box.directory}-parent`
      box.gitIn('/', 'init', '-q', '-b', 'main', parent)
      box.gitIn(parent, '-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', box.directory, 'lib')
      return { directory: `${parent}/lib` }
    },
  },
  {
    name: 'a conflict',
    make: (box) => {
      box.git('switch', '-q', '-c', 'theirs')
      box.write('a', 'theirs')
      box.commit('theirs')
      box.git('switch', '-q', 'main')
      box.write('a', 'ours')
      box.commit('ours')
      expect(() => box.git('merge', 'theirs')).toThrow()
      return {}
    },
  },
  {
    name: 'a held index lock',
    make: (box) => {
      box.write('.git/index.lock', '')
      return {}
    },
  },
  {
    name: 'a shared repository',
    make: (box) => {
      box.git('config', 'core.sharedRepository', 'group')
      return {}
    },
  },
  {
    name: 'git --git-dir from elsewhere, with relative paths',
    make: (box) => ({
      directory: path.dirname(box.directory),
      environment: { GIT_DIR: 'project/.git', GIT_WORK_TREE: 'project' },
    }),
  },
]

function spoil(box: Sandbox) {
  box.write('a', 'changed')
  box.write('staged', 'staged')
  box.git('add', 'staged')
  box.write('untracked', 'untracked')
  return {}
}

describe('a snapshot is appended in every shape of repository', () => {
  test.each(shapes)('$name', async ({ make, init }) => {
    const box = await gitSandbox(init ? { init } : {})
    box.write('a', 'a')
    box.commit('first')
    box.write('a', 'b')
    box.commit('second')
    const made = make(box)
    const directory = made.directory ?? box.directory
    const repository = await box.open(directory, made.environment)
    const where = made.environment ? box.directory : directory
    const ref = 'ref' in made ? made.ref : 'refs/heads/main'
    const before = workTree(box, where, repository)
    const tip = box.gitIn(where, 'rev-parse', ref ?? 'HEAD')

    const { id, commit } = await takeSample(repository, { ref })

    expect(box.gitIn(where, 'rev-parse', ref ?? 'HEAD', `refs/env/snapshots/${id}`)).toBe(`${commit}\n${commit}`)
    const [tree, parents] = box.gitIn(where, 'log', '-1', '--format=%T%n%P', commit).split('\n')
    expect(parents).toBe(tip)
    expect(box.gitIn(where, 'log', '-1', '--format=%T', tip)).toBe(tree)
    expect(workTree(box, where, repository)).toEqual(before)
    expect(await repository.snapshot(id)).toMatchObject({ id, commit, tree })
  })
})

function workTree(box: Sandbox, directory: string, repository: GitRepository) {
  if (!repository.topLevel) return undefined
  return { files: filesIn(directory), status: box.gitIn(directory, 'status', '--porcelain', '--untracked-files=all') }
}

describe('refusals', () => {
  test('a branch without a commit', async () => {
    const box = await gitSandbox()
    const repository = await box.open()
    expect(await repository.head()).toEqual({ ref: 'refs/heads/main', commit: undefined, tree: undefined })
    const snapshot = sampleSnapshot({ commit: 'HEAD', tree: '' })
    await expect(repository.record(snapshot)).rejects.toMatchObject({
      code: 'refused',
      hint: expect.stringMatching(/first commit/),
    })
    expect(await repository.snapshots()).toEqual([])
    expect(await repository.log({ from: 'HEAD', environment: 'main' })).toEqual([])
  })

  test('a branch that is being rebased in another work tree; a side snapshot of it is taken', async () => {
    const box = await gitSandbox()
    box.write('a', '1')
    box.commit('first')
    const other = `${box.directory}-other`
    box.git('worktree', 'add', '-q', '-b', 'topic', other)
    writeFileSync(`${other}/a`, 'topic')
    box.gitIn(other, 'commit', '-q', '-a', '-m', 'topic')
    box.write('a', '2')
    box.commit('second')
    expect(() => box.gitIn(other, 'rebase', 'main')).toThrow()
    const repository = await box.open()
    const tip = await repository.commit('refs/heads/topic')

    expect(await repository.operationInProgress('refs/heads/topic')).toBe('a rebase')
    expect(await repository.operationInProgress('refs/heads/main')).toBeUndefined()
    expect(await repository.operationInProgress(undefined)).toBeUndefined()
    const snapshot = sampleSnapshot(tip!, { ref: 'refs/heads/topic' })
    await expect(repository.record(snapshot)).rejects.toMatchObject({
      code: 'refused',
      message: 'a rebase of topic is in progress',
    })
    await repository.record({ ...snapshot, placement: 'side' })
    expect(box.git('rev-parse', 'topic')).toBe(tip!.commit)
  })

  test('a branch that is being bisected', async () => {
    const box = await gitSandbox()
    box.commit('first')
    box.git('bisect', 'start')
    const repository = await box.open()
    await expect(takeSample(repository)).rejects.toMatchObject({ message: 'a bisect of main is in progress' })
  })

  test('an id that is taken; the branch stays', async () => {
    const box = await gitSandbox()
    box.commit('first')
    const repository = await box.open()
    const { id, commit } = await takeSample(repository)
    await expect(takeSample(repository, { id, message: 'again' })).rejects.toMatchObject({ code: 'unavailable' })
    expect(box.git('rev-parse', 'main', `refs/env/snapshots/${id}`)).toBe(`${commit}\n${commit}`)
  })

  test('a folder that is in no repository, and a user that git does not know', async () => {
    const box = await gitSandbox()
    await expect(box.open('/')).rejects.toMatchObject({ code: 'usage', hint: 'git init makes one' })
    box.commit('first')
    box.git('config', 'user.useConfigOnly', 'true')
    const nobody = { GIT_AUTHOR_NAME: '', GIT_AUTHOR_EMAIL: '', GIT_COMMITTER_NAME: '', GIT_COMMITTER_EMAIL: '' }
    await expect(takeSample(await box.open(box.directory, nobody))).rejects.toMatchObject({
      code: 'refused',
      message: 'git does not know who makes this commit',
    })
  })
})

test('a snapshot is signed when the user signs', async () => {
  const box = await gitSandbox()
  box.commit('first')
  const key = path.join(box.directory, '../key')
  expect(spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]).status).toBe(0)
  box.git('config', 'gpg.format', 'ssh')
  box.git('config', 'user.signingKey', `${key}.pub`)
  box.git('config', 'commit.gpgSign', 'yes')
  const repository = await box.open()
  const { id, commit } = await takeSample(repository)
  expect(box.git('cat-file', 'commit', commit)).toContain('-----BEGIN SSH SIGNATURE-----')
  expect(await repository.snapshot(id)).toMatchObject({ id })

  box.git('config', 'user.signingKey', `${key}-gone.pub`)
  await expect(takeSample(repository)).rejects.toMatchObject({ code: 'unavailable' })
  expect(box.git('rev-parse', 'main')).toBe(commit)
})

test('isomorphic-git and git commit-tree give the same commit', async () => {
  const fixed = { GIT_AUTHOR_DATE: '1763000000 +0530', GIT_COMMITTER_DATE: '1763000001 -0330' }
  const messages = ['plain', 'ünïcode ✓', 'two\n\nparagraphs']
  for (const [i, message] of messages.entries()) {
    const ids: string[] = []
    for (const shared of ['false', 'group']) {
      const box = await gitSandbox()
      Object.assign(box.environment, { ...fixed, GIT_AUTHOR_NAME: 'Ädä <Lovelace>' })
      box.write('a', 'a')
      box.commit('first')
      // Git itself writes the objects of a repository that is shared.
      box.git('config', 'core.sharedRepository', shared)
      const { commit } = await takeSample(await box.open(), { id: `01jd3k0000000000000000000${i}`, message })
      expect(box.git('fsck', '--strict', '--no-dangling')).toBe('')
      ids.push(commit)
    }
    expect(ids[0]).toBe(ids[1])
  }
})

test('five processes that take snapshots and one that commits lose nothing', async () => {
  const box = await gitSandbox()
  box.commit('first')
  const script = path.join(import.meta.dirname, '../support/record-process.ts')
  const children = Array.from({ length: 5 }, () => {
    const child = spawn(process.execPath, [script, box.directory, '5'], { env: box.environment })
    const errors: string[] = []
    child.stderr.on('data', (part) => errors.push(String(part)))
    return once(child, 'close').then(([code]) => ({ code, errors: errors.join('') }))
  })
  let commits = 1
  const all = Promise.all(children)
  let done = false
  void all.then(() => {
    done = true
  })
  while (!done) {
    await new Promise((resolve) => setTimeout(resolve, 400))
    try {
      box.write('a', String(commits))
      box.commit(`commit ${commits}`)
      commits++
    } catch (error) {
      expect(String(error)).toMatch(/cannot lock ref/)
    }
  }
  for (const result of await all) expect(result).toEqual({ code: 0, errors: '' })

  const history = await (await box.open()).log({ from: 'main' })
  expect(history.filter(({ snapshot }) => snapshot)).toHaveLength(25)
  expect(history.filter(({ snapshot }) => !snapshot)).toHaveLength(commits)
  expect(box.git('for-each-ref', 'refs/env/snapshots').split('\n')).toHaveLength(25)
  expect(box.git('fsck', '--strict', '--no-dangling')).toBe('')
})
