import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { bytePath } from '../../src/domain/tree.ts'
import files from '../../src/services/files.ts'
import { MountBench, settled } from '../support/mount-bench.ts'
import { temporaryDirectory } from '../support/temporary.ts'

describe('the configuration of a mount', () => {
  test('is a path and patterns to exclude, and nothing else', () => {
    const accepts = (config: unknown) => v.safeParse(files.schema, config).success
    expect(accepts({ path: 'media' })).toBe(true)
    expect(accepts({ path: 'var', exclude: ['cache/**', '*.log'] })).toBe(true)
    for (const wrong of [
      {},
      { path: '' },
      { path: 1 },
      { path: 'a', exclude: 'x' },
      { path: 'a', exclude: [''] },
      { path: 'a', run: 'x' },
    ]) {
      expect([wrong, accepts(wrong)]).toEqual([wrong, false])
    }
  })
})

describe('where a mount may lie', () => {
  async function refusal(configured: string, prepare: (project: string) => void = () => {}, allowed = false) {
    const place = await temporaryDirectory()
    const project = path.join(place, 'project')
    for (const folder of ['.git/objects', 'store', 'module/.git'])
      mkdirSync(path.join(project, folder), { recursive: true })
    prepare(project)
    const forbidden = [path.join(project, '.git'), path.join(project, 'store')]
    const context = { ...(await MountBench.open()).context, projectDirectory: project, forbidden, allowed }
    return files.open({ path: configured }, context).then(
      (service) => path.relative(project, service.resources[0]!),
      (error: Error) => error.message.replaceAll(place, '<place>'),
    )
  }

  test('is a folder in the project, which need not exist', async () => {
    expect(await refusal('media')).toBe('media')
    expect(await refusal('./a/../pub/media/')).toBe('pub/media')
    expect(
      await refusal('link/inner', (project) => {
        mkdirSync(path.join(project, 'real'))
        symlinkSync('real', path.join(project, 'link'))
      }),
    ).toBe('real/inner')
  })

  const refused: Record<string, [string, string, ((project: string) => void)?]> = {
    'not the project itself': ['.', 'mount media: <place>/project is the project itself'],
    'not a folder around it': ['..', 'mount media: <place> holds the project'],
    'not in .git': ['.git/objects', 'mount media: <place>/project/.git/objects lies in a .git folder'],
    "not in another repository's .git": [
      'module/.git/x',
      'mount media: <place>/project/module/.git/x lies in a .git folder',
    ],
    'not in the store': [
      'store/packs',
      'mount media: <place>/project/store/packs lies in <place>/project/store, which git and git-env need',
    ],
    'not the store': [
      'store',
      'mount media: <place>/project/store is <place>/project/store, which git and git-env need',
    ],
    'not outside the project': ['../elsewhere', 'mount media: <place>/elsewhere lies outside the project'],
    'not outside by a symlink': [
      'media',
      'mount media: <place>/outside lies outside the project',
      (project) => {
        mkdirSync(path.join(project, '../outside'))
        symlinkSync('../outside', path.join(project, 'media'))
      },
    ],
    'not below a symlink that leads outside': [
      'link/media',
      'mount media: <place>/outside/media lies outside the project',
      (project) => {
        mkdirSync(path.join(project, '../outside'))
        symlinkSync('../outside', path.join(project, 'link'))
      },
    ],
    'not .git by a symlink': [
      'media',
      'mount media: <place>/project/.git/objects lies in a .git folder',
      (project) => symlinkSync('.git/objects', path.join(project, 'media')),
    ],
    'not a pipe': [
      'pipe',
      'mount media: <place>/project/pipe is neither a folder nor a file',
      (project) => execFileSync('mkfifo', [path.join(project, 'pipe')]),
    ],
    'not below a symlink to nothing': [
      'link/media',
      'mount media: <place>/project/link is a symlink to gone, which does not exist',
      (project) => symlinkSync('gone', path.join(project, 'link')),
    ],
    'not below a file': [
      'file/x',
      'mount media: <place>/project/file/x lies below a file',
      (project) => writeFileSync(path.join(project, 'file'), ''),
    ],
  }
  for (const [where, [configured, message, prepare]] of Object.entries(refused)) {
    test(`is ${where}`, async () => {
      expect(await refusal(configured, prepare)).toBe(message)
    })
  }

  test('may have been taken by a file, or by a symlink that leads to no folder, wherever it leads', async () => {
    expect(await refusal('media', (project) => writeFileSync(path.join(project, 'media'), ''))).toBe('media')
    for (const target of ['gone', '/nowhere/at/all', '/etc/hostname', 'media', '/etc/hostname/x']) {
      expect(await refusal('media', (project) => symlinkSync(target, path.join(project, 'media')))).toBe('media')
    }
  })

  test('is not a file of the code or of another service', async () => {
    const bench = await MountBench.open()
    writeFileSync(bench.root, 'tracked')
    await expect(bench.service({ foreign: new Set([bytePath(bench.root)]) })).rejects.toMatchObject({
      code: 'refused',
      message: `mount media: ${bench.root} is a file of the code, or of another service`,
    })
  })

  test('is outside of the project once that was allowed', async () => {
    expect(await refusal('../elsewhere', undefined, true)).toBe('../elsewhere')
    expect(await refusal('..', undefined, true)).toBe('mount media: <place> holds the project')
  })
})

describe('a probe', () => {
  test('tells what is there', async () => {
    const bench = await MountBench.open()
    expect(await (await bench.service()).probe()).toMatchObject({ presence: 'absent', summary: 'no folder', bytes: 0 })
    mkdirSync(bench.root)
    writeFileSync(bench.file('a'), Buffer.alloc(5000))
    writeFileSync(bench.file('b'), '')
    await settled()
    expect(await (await bench.service()).probe()).toEqual({
      presence: 'present',
      summary: '2 files, 4.9 KiB',
      bytes: 5000,
      versions: {},
      rung: 'files that change while a snapshot is taken are named in it; the application pausing its writes would give the common point',
      swap: 'in place',
      warnings: [],
    })
  })
})

describe('detect', () => {
  test('proposes well-known folders that exist and that git does not keep, with a reason', async () => {
    const directory = await temporaryDirectory()
    for (const folder of [
      'pub/media/tmp',
      'var/cache',
      'media',
      'uploads',
      'node_modules/x/uploads',
      'storage/app/public',
    ]) {
      mkdirSync(path.join(directory, folder), { recursive: true })
    }
    const tracked = new Set(['media/logo.png', 'uploads/.gitkeep', 'src/main.ts'])
    expect(await files.detect({ directory, tracked })).toEqual([
      {
        name: 'media',
        config: { path: 'pub/media', exclude: ['tmp/**'] },
        reason: 'media of Magento; git does not keep it',
      },
      {
        name: 'var',
        config: { path: 'var', exclude: ['cache/**'] },
        reason: 'files written at run time; git does not keep it',
      },
      { name: 'storage', config: { path: 'storage/app' }, reason: 'storage of Laravel; git does not keep it' },
      { name: 'uploads', config: { path: 'uploads' }, reason: 'uploads; git does not keep it' },
    ])
  })

  test("proposes what the project's own files call a mount, unless it is made again or lies elsewhere", async () => {
    const directory = await temporaryDirectory()
    const folders = ['private/invoices', 'pub/static', 'var/cache', 'web/files', 'media', 'app/exports', 'app/tmp']
    for (const folder of folders) mkdirSync(path.join(directory, folder), { recursive: true })
    mkdirSync(path.join(directory, '.ddev'))
    mkdirSync(path.join(directory, '.upsun'))
    writeFileSync(
      path.join(directory, '.platform.app.yaml'),
      `mounts:
  "/private/invoices": { source: local, source_path: invoices }
  "pub/static": "shared:files/static"
  "/../outside": { source: local }
  "missing": { source: local }
  "media/sub": { source: local }
`,
    )
    writeFileSync(path.join(directory, '.ddev/config.yaml'), 'docroot: web\nupload_dirs: [files, ../../elsewhere]\n')
    writeFileSync(
      path.join(directory, '.upsun/config.yaml'),
      'applications: { a: { source: { root: app }, mounts: { exports: {}, tmp: {} } } }\n',
    )
    const found = await files.detect({ directory, tracked: new Set() })
    expect(found.map(({ name, config, reason }) => [name, config['path'], reason])).toEqual([
      ['var', 'var', 'files written at run time; git does not keep it'],
      ['media', 'media', 'media of Django; git does not keep it'],
      ['invoices', 'private/invoices', 'a mount of .platform.app.yaml:2; git does not keep it'],
      ['exports', 'app/exports', 'a mount of .upsun/config.yaml:1; git does not keep it'],
      ['files', 'web/files', 'a mount of .ddev/config.yaml:2; git does not keep it'],
    ])
  })

  test('gives two of a kind two names', async () => {
    const directory = await temporaryDirectory()
    for (const folder of ['wp-content/uploads', 'public/uploads'])
      mkdirSync(path.join(directory, folder), { recursive: true })
    const names = (await files.detect({ directory, tracked: new Set() })).map(({ name, config }) => [
      name,
      config['path'],
    ])
    expect(names).toEqual([
      ['uploads', 'wp-content/uploads'],
      ['uploads-2', 'public/uploads'],
    ])
  })
})

test('a mount that is removed and one that never was are both absent', async () => {
  const bench = await MountBench.open()
  const never = await bench.capture()
  mkdirSync(bench.root)
  rmSync(bench.root, { recursive: true })
  expect(await bench.capture()).toEqual(never)
  expect(never).toMatchObject({ presence: 'absent', level: 'frozen', live: [], streams: [] })
})
