import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import type { ServiceRecord } from '../../src/domain/manifest.ts'
import files from '../../src/services/files.ts'
import { treeText } from '../samples/files.ts'
import { becomeOrdinaryUser, MountBench, restoreId, settled } from '../support/mount-bench.ts'
import { asUser, killedAfter } from '../support/mount-process.ts'
import { temporaryDirectory } from '../support/temporary.ts'

/** What may stand in the place of a mount's folder, and what a probe calls it. */
const ruins: Record<string, readonly [string, (bench: MountBench) => void]> = {
  'a file': [
    'a file, not a folder',
    ({ root }) => {
      writeFileSync(root, 'not a folder')
      chmodSync(root, 0o4751)
      utimesSync(root, 1, 1234.567891)
    },
  ],
  'one name of a file': [
    'a file, not a folder',
    ({ root, project }) => {
      writeFileSync(path.join(project, 'other name'), 'not a folder')
      linkSync(path.join(project, 'other name'), root)
    },
  ],
  'a symlink to nothing': [
    'a symlink to /nowhere/at all, where no folder is',
    ({ root }) => {
      symlinkSync('/nowhere/at all', root)
      lutimesSync(root, 1, 1234.567891)
    },
  ],
  'a symlink to a file': [
    'a symlink to victim, where no folder is',
    ({ root, project }) => {
      writeFileSync(path.join(project, 'victim'), 'untouched')
      symlinkSync('victim', root)
    },
  ],
}

async function ruined(ruin: string, user: 'any' | 'ordinary' = 'any') {
  const bench = await MountBench.open()
  if (user === 'ordinary') becomeOrdinaryUser(path.dirname(bench.project), bench.project)
  mkdirSync(bench.file('folder'), { recursive: true })
  writeFileSync(bench.file('folder/file'), 'good')
  chmodSync(bench.root, 0o750)
  await settled()
  const target = await bench.capture()
  const wanted = treeText(bench.root)
  rmSync(bench.root, { recursive: true })
  ruins[ruin]![1](bench)
  await settled()
  return { bench, target, wanted, ruin: treeText(bench.root) }
}

describe.each(Object.keys(ruins))('a mount whose folder was replaced by %s', (name) => {
  test('is damaged: said so, refused for a snapshot, kept as it is for undo', async () => {
    const { bench } = await ruined(name)
    const summary = ruins[name]![0]
    expect(await (await bench.service()).probe()).toMatchObject({ presence: 'damaged', summary })
    await expect(bench.capture({ options: { damage: 'refuse' } })).rejects.toMatchObject({
      code: 'damaged',
      message: `mount media: ${bench.root} is ${summary}`,
      hint: 'git env restore brings the folder back and keeps what stands there for git env undo',
    })
    const record = await bench.capture()
    expect(record).toMatchObject({ presence: 'damaged', level: 'frozen', live: [] })
    expect([...(await bench.entries(record)).keys()]).toEqual([''])
    expect(await bench.capture()).toEqual(record)
  })

  test('is restored, and undo brings back what stood there', async () => {
    const { bench, target, wanted, ruin } = await ruined(name)
    const safety = await bench.capture()
    const before = await bench.restore(target)
    expect(treeText(bench.root)).toBe(wanted)
    expect(before).toEqual(safety)
    const good = await bench.restore(before)
    expect(treeText(bench.root)).toBe(ruin)
    expect(good.streams).toEqual(target.streams)
    await bench.restore(target)
    expect(treeText(bench.root)).toBe(wanted)
  })

  test('can become absent, come back from nothing, and stay as it is', async () => {
    const { bench, ruin } = await ruined(name)
    const record = await bench.capture()
    await bench.restore(record)
    expect(treeText(bench.root)).toBe(ruin)
    rmSync(bench.root)
    const absent = await bench.capture()
    expect(absent.presence).toBe('absent')
    expect((await bench.restore(record)).presence).toBe('absent')
    expect(treeText(bench.root)).toBe(ruin)
    expect((await bench.restore(absent)).streams).toEqual(record.streams)
    expect(treeText(bench.root)).toBe('nothing')
  })

  test('can go back at once, and leaves nothing over', async () => {
    const { bench, target, ruin } = await ruined(name)
    const around = readdirSync(bench.project)
    const swap = await bench.swap(await bench.stage(target))
    await swap.lastCapture()
    await swap.forward()
    await swap.back()
    expect(treeText(bench.root)).toBe(ruin)
    await swap.discard()
    expect(treeText(bench.root)).toBe(ruin)
    expect(readdirSync(bench.project)).toEqual(around)
  })

  test('can be exported', async () => {
    const { bench, ruin } = await ruined(name)
    const directory = await temporaryDirectory()
    const [exported] = await files.export(await bench.capture(), bench.content, directory)
    expect(exported).toEqual({ stream: 'tree', path: 'media' })
    expect(treeText(path.join(directory, 'media'))).toBe(ruin)
  })
})

/** Both ways: from a ruin to the folder, and back to the ruin as undo does it. */
async function twoSides(ruin: string, way: 'restore' | 'undo') {
  const state = await ruined(ruin)
  const { bench, target } = state
  if (way === 'restore') return { bench, target, wanted: state.wanted, replaced: state.ruin }
  const before = await bench.restore(target)
  return { bench, target: before, wanted: state.ruin, replaced: state.wanted }
}

for (const way of ['restore', 'undo'] as const) {
  for (const ruin of ['a file', 'a symlink to nothing']) {
    test(`killed at any step, the ${way} of ${ruin} is finished, taken back, or finished by taking it back`, async () => {
      for (let step = 1; ; step++) {
        const { bench, target, wanted, replaced } = await twoSides(ruin, way)
        const safety = await bench.capture()
        const staged = await bench.stage(target, safety)
        const wasKilled = await killedAfter(step, bench, staged, 'forward')
        const swap = await bench.swap(staged)
        if ((await swap.inspect()) !== 'after') await swap.lastCapture()
        await swap.forward()
        await swap.readBack()
        expect(treeText(bench.root)).toBe(wanted)
        expect((await swap.before(bench.content, safety)).streams).toEqual(safety.streams)
        const last = await swap.lastCapture()
        await killedAfter(step, bench, last, 'back')
        const again = await bench.swap(last)
        await again.back()
        expect(await again.inspect()).toBe('before')
        expect(treeText(bench.root)).toBe(replaced)
        await again.discard()
        if (wasKilled) continue
        expect(step, 'every durable step was tried').toBeGreaterThan(4)
        return
      }
    })
  }
}

describe('what turns up in the place of the folder', () => {
  test('after staging is set aside, and comes back with undo', async () => {
    const { bench, target, wanted } = await ruined('a file')
    let late = ''
    const before = await bench.restore(target, {
      captured: () => {
        unlinkSync(bench.root)
        symlinkSync('late', bench.root)
        late = treeText(bench.root)
      },
    })
    expect(treeText(bench.root)).toBe(wanted)
    expect(before.presence).toBe('damaged')
    await bench.restore(before)
    expect(treeText(bench.root)).toBe(late)
  })

  test('where there was a folder when the restore was staged, is set aside too', async () => {
    const { bench, target, wanted } = await ruined('a file')
    await bench.restore(target)
    writeFileSync(bench.file('folder/file'), 'changed')
    await settled()
    let late = ''
    const before = await bench.restore(target, {
      staged: () => {
        rmSync(bench.root, { recursive: true })
        writeFileSync(bench.root, 'late')
        late = treeText(bench.root)
      },
    })
    expect(treeText(bench.root)).toBe(wanted)
    await bench.restore(before)
    expect(treeText(bench.root)).toBe(late)
  })

  test('is never followed, also when it leads to a folder by the time the swap is finished', async () => {
    const { bench, target, wanted } = await ruined('a symlink to nothing')
    rmSync(bench.root)
    symlinkSync('elsewhere', bench.root)
    const staged = await bench.stage(target)
    mkdirSync(path.join(bench.project, 'elsewhere'))
    writeFileSync(path.join(bench.project, 'elsewhere/kept'), 'kept')
    const swap = await bench.swap(staged)
    await swap.lastCapture()
    await swap.forward()
    expect(treeText(bench.root)).toBe(wanted)
    expect(readdirSync(path.join(bench.project, 'elsewhere'))).toEqual(['kept'])
    await swap.back()
    expect(readlinkSync(bench.root)).toBe('elsewhere')
    await swap.discard()
  })
})

test('a symlink that leads to a folder is that folder', async () => {
  const bench = await MountBench.open()
  mkdirSync(path.join(bench.project, 'real'))
  symlinkSync('real', bench.root)
  writeFileSync(bench.file('file'), 'good')
  await settled()
  const target = await bench.capture({ options: { damage: 'refuse' } })
  expect(target.presence).toBe('present')
  writeFileSync(bench.file('file'), 'bad')
  await settled()
  await bench.restore(target)
  expect([readlinkSync(bench.root), readFileSync(bench.file('file'), 'utf8')]).toEqual(['real', 'good'])
})

test('a part of a mount cannot be restored where a file has taken its place', async () => {
  const { bench, target, ruin } = await ruined('a file')
  await expect(bench.stage(target, undefined, ['folder/file'])).rejects.toMatchObject({
    code: 'refused',
    message: '. is in the way: the snapshot has a folder there',
    hint: 'restore the whole mount',
  })
  await (await bench.service()).sweep(restoreId)
  expect(treeText(bench.root)).toBe(ruin)
})

test("a folder that holds what is not the mount's is not replaced by a file", async () => {
  const { bench, target, ruin } = await ruined('a file')
  const before = await bench.restore(target)
  writeFileSync(bench.file('tracked'), 'tracked')
  await settled()
  const service = await bench.service({ foreign: new Set([bench.file('tracked')]) })
  const options = { source: bench.content, id: restoreId, progress() {} }
  await expect(service.stage(before, await bench.capture(), options)).rejects.toMatchObject({ code: 'refused' })
  await service.sweep(restoreId)
  expect([readFileSync(bench.file('tracked'), 'utf8'), ruin === '']).toEqual(['tracked', false])
})

test('a record must hold what it says: a folder, or what stood in its place', async () => {
  const { bench, target } = await ruined('a file')
  const safety = await bench.capture()
  for (const lie of [
    { ...safety, presence: 'present' },
    { ...target, presence: 'damaged' },
  ] as ServiceRecord[]) {
    await expect(bench.stage(lie, safety)).rejects.toMatchObject({ code: 'damaged' })
    await (await bench.service()).sweep(restoreId)
  }
})

describe('an ordinary user', () => {
  test('restores from a ruin, and undoes that', async () => {
    const { bench, target, wanted, ruin } = await ruined('a file', 'ordinary')
    const before = await bench.restore(target)
    expect(treeText(bench.root)).toBe(wanted)
    await bench.restore(before)
    expect(treeText(bench.root)).toBe(ruin)
  })

  test('is refused beforehand where the folder around belongs to somebody else', async () => {
    const { bench, target } = await ruined('a file')
    // Without root nobody can be another user than the one who owns it.
    if (process.getuid!() !== 0) return expect(statSync(bench.project).uid).toBe(process.getuid!())
    expect(await asUser(bench, target, { uid: 65534, gid: 65534 })).toEqual({
      code: 'refused',
      message: `${bench.project} belongs to user 0 and cannot be written to`,
    })
  })
})
