import { expect, test } from 'vitest'
import { absoluteEnvironment, noRepository } from '../../src/git/git-environment.ts'
import { createGit, gitFailure } from '../../src/git/run-git.ts'
import { gitSandbox } from '../support/git-sandbox.ts'

async function gitIn(more: Record<string, string> = {}, signal?: AbortSignal) {
  const box = await gitSandbox()
  const environment = { ...box.environment, ...more }
  return { box, git: createGit({ directory: box.directory, environment, ...(signal ? { signal } : {}) }) }
}

test('a command that fails in silence fails, and says with which status', async () => {
  const { git } = await gitIn()
  const error = await git.text(['config', '--get', 'no.such']).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'unavailable', message: 'git config: exit status 1' })
  expect(gitFailure(error)).toMatchObject({ exitCode: 1, stderr: '' })
  expect(await git.ask(['config', '--get', 'no.such'])).toBeUndefined()
})

test('what git said on standard error is in the message', async () => {
  const { git } = await gitIn()
  await expect(git.text(['rev-parse', '--verify', 'nope'])).rejects.toMatchObject({
    code: 'unavailable',
    message: 'git rev-parse: Needed a single revision',
  })
})

test('a command that reads standard input ends, also when there is none', async () => {
  const { git } = await gitIn()
  expect(await git.text(['hash-object', '--stdin'])).toBe('e69de29bb2d1d6434b8b29ae775ad8c2e48c5391')
  expect(await git.text(['update-ref', '--stdin'])).toBe('')
  expect(await git.text(['hash-object', '--stdin'], { input: '\xff\0' })).toBe(
    await git.text(['hash-object', '--stdin'], { input: Buffer.from([0xff, 0]) }),
  )
})

test('a command that prints nothing takes no 50 ms more than one that does', async () => {
  const { git } = await gitIn()
  const times: number[] = []
  for (let i = 0; i < 9; i++) {
    const start = performance.now()
    await git.ask(['config', '--get', 'no.such'])
    times.push(performance.now() - start)
  }
  expect(Math.min(...times)).toBeLessThan(45)
})

test("the user's Git variables reach git and what it starts", async () => {
  const { git } = await gitIn({ GIT_AUTHOR_NAME: 'Grace', EDITOR: 'vi', GIT_SSH_COMMAND: 'ssh -v' })
  expect(await git.text(['var', 'GIT_AUTHOR_IDENT'])).toMatch(/^Grace </)
  // A hook of the user that abbreviates an option must go on to work.
  const alias = 'alias.x=!echo "$EDITOR, $GIT_SSH_COMMAND" && git log --onelin -0'
  expect(await git.text(['-c', alias, 'x'], { answers: [128] })).toBe('vi, ssh -v')
})

test('user text that looks like an option is text', async () => {
  const { box, git } = await gitIn()
  box.commit('first')
  const tree = await git.text(['rev-parse', 'HEAD^{tree}'])
  const commit = await git.text(['commit-tree', '-F', '-', tree], { input: '--template=foo --upload-pack=x\n' })
  expect(box.git('log', '-1', '--format=%B', commit)).toBe('--template=foo --upload-pack=x\n')
})

test('lists are byte strings that end with NUL', async () => {
  const { box, git } = await gitIn()
  box.write('new\nline', '')
  box.git('add', '.')
  expect(await git.list(['ls-files', '-z'])).toEqual(['new\nline'])
})

test('an activity that is cancelled ends its commands', async () => {
  const controller = new AbortController()
  const { git } = await gitIn({}, controller.signal)
  const running = git.run(['-c', 'alias.wait=!sleep 20', 'wait'])
  setTimeout(() => controller.abort(), 50)
  await expect(running).rejects.toMatchObject({ code: 'cancelled' })
  await expect(git.run(['version'])).rejects.toMatchObject({ code: 'cancelled' })
  expect((await git.run(['version'], { uninterrupted: true })).exitCode).toBe(0)
})

test('a git that is not installed is named', async () => {
  const { git } = await gitIn({ PATH: '/nowhere' })
  await expect(git.run(['version'])).rejects.toMatchObject({
    code: 'unavailable',
    hint: 'git must be installed and on the PATH',
  })
})

test('paths that git gave relative to its own folder become absolute', () => {
  const variables = {
    GIT_DIR: '.',
    GIT_INDEX_FILE: '.git/index',
    GIT_ALTERNATE_OBJECT_DIRECTORIES: 'a:/b',
    GIT_PREFIX: 'sub/',
    HOME: '/home/ada',
    UNSET: undefined,
  }
  const environment = absoluteEnvironment(variables, '/srv/x.git')
  expect(environment).toMatchObject({
    GIT_DIR: '/srv/x.git',
    GIT_INDEX_FILE: '/srv/x.git/.git/index',
    GIT_ALTERNATE_OBJECT_DIRECTORIES: '/srv/x.git/a:/b',
    HOME: '/home/ada',
  })
  expect(Object.keys(environment)).not.toContain('GIT_PREFIX')
})

test('a command in another repository sees nothing of this one', async () => {
  const { box, git } = await gitIn()
  const other = await gitSandbox()
  const bound = createGit({
    directory: box.directory,
    environment: { ...box.environment, GIT_DIR: `${box.directory}/.git` },
  })
  expect(await bound.text(['rev-parse', '--absolute-git-dir'], { directory: other.directory, env: noRepository })).toBe(
    await git.text(['rev-parse', '--absolute-git-dir'], { directory: other.directory }),
  )
  const known = new Set(Object.keys(noRepository))
  const listed = (await git.text(['rev-parse', '--local-env-vars'])).split('\n')
  expect(listed.filter((name) => !known.has(name))).toEqual([])
})
