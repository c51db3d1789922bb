import { spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { canonicalJson, type Json } from '../../src/domain/canonical-json.ts'
import { databaseDump, treeFingerprint } from '../support/fingerprint.ts'
import { makeProject, type Project, type Ran } from '../support/project.ts'
import { temporaryDirectory } from '../support/temporary.ts'

async function expectError(ran: Promise<Ran>, status: number, stderr: RegExp): Promise<void> {
  const { stderr: text, status: code } = await ran
  expect(text).toMatch(stderr)
  expect(code).toBe(status)
  // A fault of ours would show a stack; bad input never may.
  expect(text).not.toMatch(/\n\s+at /)
}

async function setConfig(project: Project, text: string): Promise<void> {
  await writeFile(project.path('.git-env.yaml'), text)
}

describe('bad input', () => {
  test('in the configuration is named with line and column', async () => {
    const project = await makeProject()
    await setConfig(project, 'services:\n  app: { type: sqlite, pth: x }\n')
    await expectError(project.run(['snapshot']), 2, /^error: \.git-env\.yaml:2:\d+: unknown key services\.app\.pth$/m)
    await setConfig(project, 'services:\n  app: { type: mongo, path: x }\n')
    await expectError(project.run(['status']), 2, /^error: \.git-env\.yaml:2:10: unknown service type "mongo"/m)
  })

  test('a repository without commits is told to make one', async () => {
    const project = await makeProject({ initialized: false })
    await rm(project.path('.git'), { recursive: true })
    await project.git('init', '-q')
    await project.ok('init')
    await expectError(
      project.run(['snapshot']),
      3,
      /^error: this branch has no commit yet.*\nhint: make a first commit/m,
    )
    await expectError(project.run(['restore', '--yes']), 4, /^error: /m)
    await expectError(project.run(['log']), 0, /^$/)
  })

  test('outside a repository, and without a configuration, says what to do', async () => {
    const project = await makeProject()
    const elsewhere = await temporaryDirectory()
    await expectError(project.run(['status'], { directory: elsewhere }), 2, /^error: .* is not in a Git repository$/m)
    await rm(project.path('.git-env.yaml'))
    await project.git('rm', '-q', '--cached', '.git-env.yaml')
    await project.git('commit', '-qm', 'no configuration')
    await expectError(
      project.run(['status']),
      3,
      /^error: there is no \.git-env\.yaml.*\nhint: git env init writes one/m,
    )
  })

  test.each(['.git', '.git/env', '.git/objects', '.', '..', '/'])('a mount at %j is refused', async (where) => {
    const project = await makeProject()
    await setConfig(project, `mounts:\n  m: ${JSON.stringify(where)}\n`)
    await expectError(project.run(['snapshot']), 3, /^error: .*\nhint: /m)
  })

  test('a mount or a database outside the repository is used only after git env allow', async () => {
    const project = await makeProject()
    const outside = await temporaryDirectory()
    await writeFile(path.join(outside, 'secret.txt'), 'secret')
    await symlink(outside, project.path('innocent'))
    for (const where of [outside, 'innocent', `../${path.basename(outside)}`]) {
      await setConfig(project, `mounts:\n  m: ${JSON.stringify(where)}\n`)
      await expectError(project.run(['snapshot']), 3, /^error: .*outside.*\nhint: .*git env allow/m)
    }
    await project.ok('allow')
    await project.ok('snapshot')
    await setConfig(project, `mounts:\n  m: ${JSON.stringify(await temporaryDirectory())}\n`)
    await expectError(project.run(['snapshot']), 3, /git env allow/)
  })

  test.each([
    'nonsense',
    'zzzz',
    '0'.repeat(26),
    '../../x',
    '--upload-pack=x',
    'HEAD~1',
    '@{',
    'latest~9',
    '\u001b[31mred',
    'a\nb',
    '$(touch x)',
  ])('%j is no snapshot, which is said, and nothing is changed', async (name) => {
    const project = await makeProject()
    await project.ok('snapshot')
    const state = [databaseDump(project.database), treeFingerprint(project.uploads)]
    await expectError(project.run(['restore', '--yes', '--', name]), 4, /^error: /m)
    const { stderr } = await project.run(['restore', '--yes', '--', name])
    expect(stderr).not.toContain('\u001b[31m')
    expect([databaseDump(project.database), treeFingerprint(project.uploads)]).toEqual(state)
  })

  test('names and messages with line breaks and escape sequences do no harm', async () => {
    const project = await makeProject()
    for (const name of ['a\nb', '../x', '\u001b[31m', 'latest', '01m8', '', '-x']) {
      await expectError(project.run(['snapshot', `--name=${name}`]), 2, /^error: a snapshot cannot be named/m)
    }
    const message = 'one\n\nSnapshot-Id: 00000000000000000000000000\n\u001b[31mtwo\u0007'
    await project.ok('snapshot', '-m', message)
    const [snapshot] = await project.json<{ id: string; message: string }[]>('log', '--snapshots')
    expect(snapshot!.id).not.toBe('0'.repeat(26))
    expect(snapshot!.message).toBe('one')
    expect(await project.ok('log')).not.toMatch(/\u001b\[31m|\u0007/)
    expect(await project.git('log', '-1', '--format=%(trailers:key=Snapshot-Id,valueonly)')).toBe(snapshot!.id)
  })

  test('odd file and table names come back as they were', async () => {
    const project = await makeProject()
    for (const name of ['new\nline', '-rf', 'quote"\'`', '\u001b[31mred', ' space ', 'ünïcode', '…', '*?[a]']) {
      await writeFile(path.join(project.uploads, name), name)
    }
    await writeFile(Buffer.concat([Buffer.from(`${project.uploads}/`), Buffer.from([0xff, 0xfe, 0x41])]), 'not UTF-8')
    project.sql('CREATE TABLE "odd ""name"" \n; DROP" ("select" TEXT, "a b" BLOB)')
    project.sql(`INSERT INTO "odd ""name"" \n; DROP" VALUES ('x', x'00ff')`)
    const names = () => readdir(project.uploads, { encoding: 'latin1' }).then((list) => list.sort())
    const before = [databaseDump(project.database), await names()]
    await project.ok('snapshot')
    for (const name of await readdir(project.uploads, { encoding: 'buffer' })) {
      await rm(Buffer.concat([Buffer.from(`${project.uploads}/`), name]), { recursive: true })
    }
    project.sql('DROP TABLE "odd ""name"" \n; DROP"')
    expect(await project.ok('diff')).not.toContain('\u001b[31m')
    await project.ok('restore', '--yes')
    expect([databaseDump(project.database), await names()]).toEqual(before)
  })

  test('options that contradict each other, or need an answer that nobody can give, change nothing', async () => {
    const project = await makeProject()
    await project.ok('snapshot')
    await expectError(project.run(['restore', '--data-only', '--code-only']), 2, /contradict each other/)
    await expectError(project.run(['restore']), 3, /needs to be confirmed.*\nhint: give --yes/)
    await expectError(project.run(['restore', '--yes', '--only', 'nothing']), 4, /^error: .*"nothing"/m)
    await expectError(project.run(['restore', '--yes', '--only', 'app:nothing']), 4, /^error: .*nothing/m)
    await expectError(project.run(['restore', '--yes', '--to', 'other']), 3, /^error: .*"other"/m)
    await expectError(project.run(['undo']), 3, /there is no restore to take back/)
  })
})

/** The text of a store's format, with the digest of its other members. */
function withDigest({ sha256: _, ...members }: Record<string, Json>): string {
  return `${canonicalJson({ ...members, sha256: hash('sha256', canonicalJson(members)) })}\n`
}

describe('a store', () => {
  test('that is gone, another one, newer or damaged is refused in one line, and never made anew', async () => {
    const project = await makeProject()
    await project.ok('snapshot')
    const format = project.path('.git/env/store/format')
    const text = await readFile(format, 'utf8')
    await writeFile(format, withDigest({ ...JSON.parse(text), version: 2 }))
    await expectError(project.run(['snapshot']), 3, /^error: .*newer.*$/m)
    await writeFile(format, text.slice(0, 20))
    await expectError(project.run(['snapshot']), 5, /^error: .*format.*$/m)
    await writeFile(format, withDigest({ ...JSON.parse(text), id: '0'.repeat(26) }))
    await expectError(project.run(['snapshot']), 3, /^error: the store at .* is 000000.*, not /m)
    await rm(project.path('.git/env/store'), { recursive: true })
    await expectError(project.run(['snapshot']), 4, /^error: .*store.*\nhint: /m)
    await expectError(project.run(['init']), 4, /^error: .*store/m)
  })

  test('of another project is used only after git env allow', async () => {
    const project = await makeProject()
    await writeFile(
      project.path('.git-env.yaml'),
      `${await readFile(project.path('.git-env.yaml'), 'utf8')}store: ${await temporaryDirectory()}\n`,
    )
    await expectError(project.run(['snapshot']), 3, /^error: .*store of its own.*\nhint: .*git env allow/m)
  })
})

/** Runs git-env where a small or read-only file system is mounted on a folder of the project, in a mount namespace of its own. */
async function runMounted(project: Project, mount: string, words: readonly string[]): Promise<Ran> {
  const launcher = new URL('../../bin/git-env.js', import.meta.url).pathname
  const script = `${mount} && shift && exec "$@"`
  const own = process.getuid?.() === 0 ? ['-m'] : ['-rm']
  return new Promise((resolve, reject) => {
    const child = spawn('unshare', [...own, 'sh', '-ec', script, 'sh', 'x', process.execPath, launcher, ...words], {
      cwd: project.directory,
      env: project.environment,
    })
    const ran = { stdout: '', stderr: '' }
    child.stdout.on('data', (part: Buffer) => {
      ran.stdout += part.toString()
    })
    child.stderr.on('data', (part: Buffer) => {
      ran.stderr += part.toString()
    })
    child.on('error', reject)
    child.on('close', (status, signal) => resolve({ ...ran, status, signal }))
  })
}

describe('a file system', () => {
  test('that is full fails the snapshot, names the path, and leaves what was there', async () => {
    const project = await makeProject()
    await project.ok('snapshot', '-m', 'small')
    const noise = Buffer.from(Array.from({ length: 6_000_000 }, () => Math.random() * 256))
    await writeFile(path.join(project.uploads, 'large.bin'), noise)
    const store = project.path('.git/env/store')
    const small = `cp -a ${store} ${store}.copy && mount -t tmpfs -o size=2m tmpfs ${store} && cp -a ${store}.copy/. ${store}/`
    const full = await runMounted(project, small, ['snapshot', '-m', 'large'])
    expect(full.stderr).toMatch(/^error: .*packs.*ENOSPC[\s\S]*^hint: make room/m)
    expect(full.status).toBe(6)
    expect((await project.json<unknown[]>('log', '--snapshots')).length).toBe(1)
    expect(await project.ok('verify', '--data')).toContain('no damage found')
    await project.ok('snapshot', '-m', 'now there is room')
  })

  test('that is read-only refuses the restore and changes nothing', async () => {
    const project = await makeProject()
    await project.ok('snapshot')
    await writeFile(path.join(project.uploads, 'more.txt'), 'more')
    project.sql('DELETE FROM tags')
    const before = [databaseDump(project.database), treeFingerprint(project.uploads)]
    const readOnly = (folder: string) => `mount --bind ${folder} ${folder} && mount -o remount,ro,bind ${folder}`
    await expectError(
      runMounted(project, readOnly(project.uploads), ['restore', '--yes']),
      3,
      /^error: .*uploads[\s\S]*read-only/m,
    )
    await expectError(
      runMounted(project, readOnly(project.path('data')), ['restore', '--yes']),
      6,
      /^error: [\s\S]*read-?only/m,
    )
    expect([databaseDump(project.database), treeFingerprint(project.uploads)]).toEqual(before)
    await project.ok('restore', '--yes')
  })
})
