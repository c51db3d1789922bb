import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { ContentSource } from '../../src/domain/content.ts'
import { bytePath, encodeTreeEntry, type TreeEntry } from '../../src/domain/tree.ts'
import { mountPointsBelow } from '../../src/services/files/mount-points.ts'
import { changeOddTree, makeOddTree, treeText } from '../samples/files.ts'
import { becomeOrdinaryUser, MountBench, restoreId, settled } from '../support/mount-bench.ts'
import { asUser } from '../support/mount-process.ts'

async function filled(options: Parameters<typeof MountBench.open>[0] = {}): Promise<MountBench> {
  const bench = await MountBench.open(options)
  mkdirSync(bench.file('a/b'), { recursive: true })
  mkdirSync(bench.file('kept'))
  writeFileSync(bench.file('a/one'), 'one')
  writeFileSync(bench.file('a/b/two'), 'two')
  writeFileSync(bench.file('kept/three'), 'three')
  await settled()
  return bench
}

const inode = (file: string) => lstatSync(file).ino

describe('a restore of a mount', () => {
  test('touches only what differs: other files stay the inodes they are', async () => {
    const bench = await filled()
    const target = await bench.capture()
    const wanted = treeText(bench.root)
    const [kept, folder, root] = ['kept/three', 'a', ''].map((name) => inode(bench.file(name)))
    writeFileSync(bench.file('a/one'), 'changed')
    await settled()
    await bench.restore(target)
    expect(treeText(bench.root)).toBe(wanted)
    expect(['kept/three', 'a', ''].map((name) => inode(bench.file(name)))).toEqual([kept, folder, root])
  })

  test('changes modes and owners in place, and large files also get their time there', async () => {
    const bench = await filled()
    writeFileSync(bench.file('large'), Buffer.alloc(3 << 20, 'large'))
    utimesSync(bench.file('large'), 1000, 1234.567)
    await settled()
    const target = await bench.capture()
    const wanted = treeText(bench.root)
    const inodes = ['large', 'a/one'].map((name) => inode(bench.file(name)))
    chmodSync(bench.file('a/one'), 0o600)
    chmodSync(bench.file('kept'), 0o700)
    utimesSync(bench.file('large'), 1000, 99_999)
    await settled()
    const changed = treeText(bench.root)
    const before = await bench.restore(target)
    expect(treeText(bench.root)).toBe(wanted)
    expect(['large', 'a/one'].map((name) => inode(bench.file(name)))).toEqual(inodes)
    await bench.restore(before)
    expect(treeText(bench.root)).toBe(changed)
  })

  test('adds and removes whole folders by one rename each', async () => {
    const bench = await filled()
    const target = await bench.capture()
    rmSync(bench.file('a'), { recursive: true })
    mkdirSync(bench.file('other/deep'), { recursive: true })
    for (let i = 0; i < 50; i++) writeFileSync(bench.file(`other/deep/${i}`), 'x')
    await settled()
    const staged = await bench.stage(target)
    expect(staged).toMatchObject({ puts: 1, removals: 1, changes: 1 })
    await (await bench.swap(staged)).discard()
  })

  test('of nothing that differs does nothing', async () => {
    const bench = await filled()
    const target = await bench.capture()
    const before = treeText(bench.root)
    const staged = await bench.stage(target)
    expect(staged).toMatchObject({ puts: 0, removals: 0, changes: 0, bytes: 0 })
    await (await bench.swap(staged)).discard()
    expect(await bench.restore(target)).toEqual(target)
    expect(treeText(bench.root)).toBe(before)
  })

  test('brings back times to the nanosecond, of folders, symlinks and files', async () => {
    const bench = await filled()
    execFileSync('touch', ['-h', '-d', '2021-03-04T05:06:07.123456789Z', bench.file('a/one')])
    symlinkSync('one', bench.file('a/link'))
    execFileSync('touch', ['-h', '-d', '1931-03-04T05:06:07.000000001Z', bench.file('a/link')])
    execFileSync('touch', ['-d', '2099-12-31T23:59:59.999999999Z', bench.file('a')])
    const times = () => ['a/one', 'a/link', 'a'].map((name) => lstatSync(bench.file(name), { bigint: true }).mtimeNs)
    const wanted = times()
    expect(wanted.map((ns) => String(ns).slice(-9))).toEqual(['123456789', '999999999', '999999999'])
    await settled()
    const target = await bench.capture()
    rmSync(bench.file('a'), { recursive: true })
    await bench.restore(target)
    expect(times()).toEqual(wanted)
  })

  test('reaches paths as deep as the system allows', async () => {
    const bench = await MountBench.open()
    const deep = Array.from({ length: 14 }, (_, i) => `${i}-${'d'.repeat(240)}`).join('/')
    mkdirSync(bench.file(deep), { recursive: true })
    writeFileSync(bench.file(`${deep}/file`), 'deep')
    await settled()
    const target = await bench.capture()
    const wanted = treeText(bench.root)
    rmSync(bench.root, { recursive: true })
    await bench.restore(target)
    expect(treeText(bench.root)).toBe(wanted)
  })

  test('keeps hard links where one of the names changed, and makes them where there were none', async () => {
    const bench = await filled()
    linkSync(bench.file('a/one'), bench.file('kept/one'))
    linkSync(bench.file('a/one'), bench.file('one'))
    await settled()
    const target = await bench.capture()
    const wanted = treeText(bench.root)
    for (const change of [
      () => rmSync(bench.file('one')),
      () => {
        rmSync(bench.file('one'))
        writeFileSync(bench.file('one'), 'one')
      },
      () => writeFileSync(bench.file('kept/one'), 'ONE'),
      () => rmSync(bench.file('a'), { recursive: true }),
      () => {
        rmSync(bench.file('a/one'))
        linkSync(bench.file('kept/three'), bench.file('a/one'))
      },
    ]) {
      change()
      await settled()
      const changed = treeText(bench.root)
      const before = await bench.restore(target)
      expect(treeText(bench.root)).toBe(wanted)
      await bench.restore(before)
      expect(treeText(bench.root)).toBe(changed)
      await bench.restore(target)
    }
  })
})

describe('a part of a mount', () => {
  test('is restored alone, with the folders it needs, and others stay as they are', async () => {
    const bench = await filled()
    writeFileSync(bench.file('a/b/more'), 'more')
    await settled()
    const target = await bench.capture()
    writeFileSync(bench.file('a/one'), 'stays')
    rmSync(bench.file('a/b'), { recursive: true })
    writeFileSync(bench.file('kept/new'), 'stays')
    await settled()
    const { mtimeNs } = statSync(bench.file('a'), { bigint: true })
    const before = await bench.restore(target, { only: ['a/b/two'] })
    expect(readdirSync(bench.file('a/b'))).toEqual(['two'])
    expect(readFileSync(bench.file('a/one'), 'utf8')).toBe('stays')
    expect(readFileSync(bench.file('kept/new'), 'utf8')).toBe('stays')
    expect(statSync(bench.file('a'), { bigint: true }).mtimeNs).toBe(mtimeNs)
    await bench.restore(before)
    expect(existsSync(bench.file('a/b'))).toBe(false)
  })

  test('that the snapshot does not hold is removed', async () => {
    const bench = await filled()
    const target = await bench.capture()
    mkdirSync(bench.file('a/new/er'), { recursive: true })
    await settled()
    await bench.restore(target, { only: ['a/new/er/'] })
    expect(readdirSync(bench.file('a/new'))).toEqual([])
  })

  test('that is in neither is an error, and so is one that leaves the mount', async () => {
    const bench = await filled()
    const target = await bench.capture()
    await expect(bench.stage(target, target, ['a/nothing'])).rejects.toMatchObject({
      code: 'not-found',
      message: 'a/nothing is neither in the snapshot nor in the mount media',
    })
    await expect(bench.stage(target, target, ['../a'])).rejects.toMatchObject({ code: 'usage' })
  })

  test('takes the content of a hard link whose first name is not chosen', async () => {
    const bench = await filled()
    linkSync(bench.file('a/one'), bench.file('kept/one'))
    await settled()
    const target = await bench.capture()
    rmSync(bench.file('kept/one'))
    writeFileSync(bench.file('a/one'), 'other')
    await settled()
    await bench.restore(target, { only: ['kept'] })
    expect(readFileSync(bench.file('kept/one'), 'utf8')).toBe('one')
    expect(readFileSync(bench.file('a/one'), 'utf8')).toBe('other')
  })
})

describe("what is not the mount's", () => {
  test('is never captured, staged over, moved or removed, and folders that hold it stay', async () => {
    const bench = await MountBench.open({ exclude: ['cache'] })
    mkdirSync(bench.file('gone/sub/dir'), { recursive: true })
    mkdirSync(bench.file('cache'))
    await settled()
    rmSync(bench.file('gone'), { recursive: true })
    const target = await bench.capture()
    mkdirSync(bench.file('gone/sub/dir'), { recursive: true })
    const foreign = new Set([bytePath(bench.file('gone/sub/tracked'))])
    const kept = { 'gone/sub/tracked': 'tracked', 'cache/thing': 'cached' }
    for (const [name, text] of Object.entries(kept)) writeFileSync(bench.file(name), text)
    writeFileSync(bench.file('gone/sub/mine'), 'mine')
    writeFileSync(bench.file('gone/sub/dir/mine'), 'mine')
    await settled()
    const inodes = Object.keys(kept).map((name) => inode(bench.file(name)))
    const { mtimeNs } = statSync(bench.file('gone/sub'), { bigint: true })

    const service = await bench.service({ foreign })
    const safety = await bench.capture()
    const staged = await service.stage(target, safety, { source: bench.content, id: restoreId, progress() {} })
    const swap = service.swap(staged, bench.content)
    await swap.lastCapture()
    await swap.forward()
    await swap.readBack()
    expect(readdirSync(bench.file('gone/sub'))).toEqual(['tracked'])
    expect(Object.keys(kept).map((name) => inode(bench.file(name)))).toEqual(inodes)
    expect(statSync(bench.file('gone/sub'), { bigint: true }).mtimeNs).toBe(mtimeNs)
    await swap.back()
    expect(readFileSync(bench.file('gone/sub/dir/mine'), 'utf8')).toBe('mine')
    expect(Object.keys(kept).map((name) => inode(bench.file(name)))).toEqual(inodes)
    await swap.discard()
  })

  test('is not taken from a snapshot of when it still was', async () => {
    const bench = await filled()
    const target = await bench.capture()
    writeFileSync(bench.file('a/one'), 'tracked now')
    await settled()
    const service = await bench.service({ foreign: new Set([bytePath(bench.file('a/one'))]) })
    const options = { source: bench.content, id: restoreId, progress() {} }
    const swap = service.swap(await service.stage(target, await bench.capture(), options), bench.content)
    await swap.lastCapture()
    await swap.forward()
    await swap.discard()
    expect(readFileSync(bench.file('a/one'), 'utf8')).toBe('tracked now')
  })

  test('refuses what would have to replace the folder it is in', async () => {
    const bench = await filled()
    rmSync(bench.file('a'), { recursive: true })
    writeFileSync(bench.file('a'), 'a file')
    await settled()
    const target = await bench.capture()
    rmSync(bench.file('a'))
    mkdirSync(bench.file('a'))
    writeFileSync(bench.file('a/tracked'), 'tracked')
    const service = await bench.service({ foreign: new Set([bytePath(bench.file('a/tracked'))]) })
    const options = { source: bench.content, id: restoreId, progress() {} }
    await expect(service.stage(target, target, options)).rejects.toMatchObject({
      code: 'refused',
      message: "a is no folder in the snapshot, but holds files that are not the mount's now",
    })
    await service.sweep(restoreId)
  })
})

describe('a writer that goes on', () => {
  test('after staging changes nothing of what is restored, and loses nothing', async () => {
    const bench = await filled()
    writeFileSync(bench.file('a/gone'), 'gone')
    await settled()
    const target = await bench.capture()
    const wanted = treeText(bench.root)
    writeFileSync(bench.file('a/one'), 'changed')
    await settled()
    let late = ''
    const before = await bench.restore(target, {
      staged: () => {
        writeFileSync(bench.file('a/one'), 'changed again')
        writeFileSync(bench.file('kept/three'), 'changed late')
        writeFileSync(bench.file('kept/new'), 'new late')
        rmSync(bench.file('a/gone'))
        rmSync(bench.file('a/b'), { recursive: true })
        late = treeText(bench.root)
      },
    })
    expect(treeText(bench.root)).toBe(wanted)
    await bench.restore(before)
    expect(treeText(bench.root)).toBe(late)
  })

  test('makes writers of other services wait for a look at the mount only: the rest was read ahead', async () => {
    const bench = await filled()
    const target = await bench.capture()
    const wanted = treeText(bench.root)
    rmSync(bench.file('a'), { recursive: true })
    writeFileSync(bench.file('kept/three'), 'THREE')
    await settled()
    const safety = await bench.capture()
    const staged = await bench.stage(target, safety)
    const reads: string[] = []
    const source: ContentSource = {
      read(content) {
        reads.push(content.sha256)
        return bench.content.read(content)
      },
    }
    const swap = (await bench.service()).swap(staged, source)
    writeFileSync(bench.file('kept/new'), 'new before the hold')
    writeFileSync(bench.file('kept/three'), 'three')
    await settled()
    await swap.prepare!()
    expect(reads.length).toBeGreaterThan(0)
    reads.length = 0
    writeFileSync(bench.file('kept/newer'), 'new inside the hold')
    const late = treeText(bench.root)
    await swap.lastCapture()
    expect(reads).toEqual([])
    await swap.forward()
    await swap.readBack()
    expect(treeText(bench.root)).toBe(wanted)
    const before = await swap.before(bench.content, safety)
    await swap.discard()
    await bench.restore(before)
    expect(treeText(bench.root)).toBe(late)
  })

  test('loses nothing of what it does between what is prepared and the hold', async () => {
    const bench = await filled()
    const target = await bench.capture()
    const wanted = treeText(bench.root)
    writeFileSync(bench.file('a/one'), 'changed')
    await settled()
    let late = ''
    const before = await bench.restore(target, {
      staged: () => writeFileSync(bench.file('kept/new'), 'new'),
      prepared: () => {
        writeFileSync(bench.file('kept/new'), 'new again')
        writeFileSync(bench.file('kept/newer'), 'newer')
        rmSync(bench.file('a/b'), { recursive: true })
        late = treeText(bench.root)
      },
    })
    expect(treeText(bench.root)).toBe(wanted)
    await bench.restore(before)
    expect(treeText(bench.root)).toBe(late)
  })

  test('does not keep a recovery from staging what a crash has left staged already, unknown to the journal', async () => {
    const bench = await filled()
    const target = await bench.capture()
    const wanted = treeText(bench.root)
    writeFileSync(bench.file('kept/three'), 'changed')
    await settled()
    const safety = await bench.capture()
    const staged = await bench.stage(target, safety)
    rmSync(bench.file('a'), { recursive: true })
    await (await bench.swap(staged)).lastCapture()
    // The journal never heard of that capture.
    const swap = await bench.swap(staged)
    await swap.lastCapture()
    await swap.forward()
    await swap.readBack()
    expect(treeText(bench.root)).toBe(wanted)
    expect([...(await bench.entries(await swap.before(bench.content, safety))).keys()]).not.toContain('a/one')
    await swap.discard()
  })

  test('through a file it has open writes into what was set aside', async () => {
    const bench = await filled()
    const target = await bench.capture()
    writeFileSync(bench.file('a/one'), 'changed')
    await settled()
    const descriptor = openSync(bench.file('a/one'), 'a')
    onTestFinished(() => closeSync(descriptor))
    const before = await bench.restore(target, {
      captured: () => writeSync(descriptor, ' and more'),
      swapped: () => writeSync(descriptor, ' and after'),
    })
    expect(readFileSync(bench.file('a/one'), 'utf8')).toBe('one')
    expect(await bench.text(before, 'a/one')).toBe('changed and more and after')
  })

  test('right before the swap has what it wrote set aside, never overwritten', async () => {
    const bench = await filled()
    const target = await bench.capture()
    rmSync(bench.file('a/one'))
    mkdirSync(bench.file('doomed'))
    await settled()
    const before = await bench.restore(target, {
      captured: () => {
        writeFileSync(bench.file('a/one'), 'appeared')
        writeFileSync(bench.file('doomed/late'), 'late')
      },
    })
    expect(readFileSync(bench.file('a/one'), 'utf8')).toBe('one')
    expect(await bench.text(before, 'a/one')).toBe('appeared')
    expect(await bench.text(before, 'doomed/late')).toBe('late')
  })

  test('right after the swap is not taken for damage, and stays', async () => {
    const bench = await filled()
    const target = await bench.capture()
    for (const name of ['a/one', 'a/b/two', 'kept/three']) writeFileSync(bench.file(name), 'changed')
    await settled()
    await bench.restore(target, {
      swapped: () => {
        writeFileSync(bench.file('a/one'), 'after')
        rmSync(bench.file('a/b/two'))
        writeFileSync(bench.file('kept/tmp'), 'after')
        renameSync(bench.file('kept/tmp'), bench.file('kept/three'))
      },
    })
    expect(readFileSync(bench.file('a/one'), 'utf8')).toBe('after')
    expect(existsSync(bench.file('a/b/two'))).toBe(false)
    expect(readFileSync(bench.file('kept/three'), 'utf8')).toBe('after')
  })

  test('and what the swap is taken back over stays among the set-asides', async () => {
    const bench = await filled()
    const target = await bench.capture()
    writeFileSync(bench.file('a/one'), 'changed')
    rmSync(bench.file('a/b'), { recursive: true })
    mkdirSync(bench.file('new'))
    await settled()
    const changed = treeText(bench.root)
    const swap = await bench.swap(await bench.stage(target))
    await swap.lastCapture()
    await swap.forward()
    writeFileSync(bench.file('a/one'), 'written between')
    writeFileSync(bench.file('a/b/written'), 'between too')
    mkdirSync(bench.file('new'))
    await swap.back()
    expect(treeText(bench.root)).toBe(changed)
    const area = path.join(bench.privateDirectory, `restore-${restoreId}`)
    const kept = execFileSync('cat', ['--', ...filesBelow(area)], { encoding: 'utf8' })
    expect(kept).toContain('written between')
    expect(kept).toContain('between too')
    await swap.discard()
  })
})

function filesBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name))
}

describe('read back', () => {
  test('finds what is not as it was staged', async () => {
    const bench = await filled()
    const target = await bench.capture()
    writeFileSync(bench.file('a/one'), 'changed')
    await settled()
    const swap = await bench.swap(await bench.stage(target))
    await swap.lastCapture()
    await swap.forward()
    const { mtime } = statSync(bench.file('a/one'))
    chmodSync(bench.file('a/one'), 0o777)
    await expect(swap.readBack()).rejects.toMatchObject({ code: 'damaged', message: /^a\/one in the mount media/ })
    chmodSync(bench.file('a/one'), 0o644)
    await swap.readBack()
    writeFileSync(bench.file('a/one'), 'torn')
    utimesSync(bench.file('a/one'), mtime, mtime)
    await expect(swap.readBack()).rejects.toMatchObject({ code: 'damaged' })
  })

  test('of what is staged refuses content that is not what the listing says', async () => {
    const bench = await filled()
    const target = await bench.capture()
    rmSync(bench.file('a/one'))
    await settled()
    const [, lie] = [...bench.content.chunks].find(([, bytes]) => Buffer.from(bytes).toString() === 'one')!
    lie.set(Buffer.from('two'))
    await expect(bench.stage(target)).rejects.toMatchObject({ code: 'damaged' })
    await (await bench.service()).sweep(restoreId)
    expect(existsSync(bench.file('a/one'))).toBe(false)
  })
})

describe('where things are staged', () => {
  const other = '/dev/shm'

  /** A mount on another file system than the private folder. */
  async function elsewhere(): Promise<MountBench> {
    const place = execFileSync('mktemp', ['-d', path.join(other, 'git-env-test-XXXXXX')], { encoding: 'utf8' }).trim()
    onTestFinished(() => rmSync(place, { recursive: true, force: true }))
    return MountBench.open({ path: path.join(place, 'media'), context: { allowed: true } })
  }

  test('a mount on another file system is staged inside itself, and nobody sees it', async () => {
    const bench = await elsewhere()
    expect(statSync(other).dev).not.toBe(statSync(bench.project).dev)
    makeOddTree(bench.root)
    await settled()
    const target = await bench.capture()
    const wanted = treeText(bench.root)
    changeOddTree(bench.root, 1)
    await settled()
    const changed = treeText(bench.root)
    const staged = await bench.stage(target)
    expect(readdirSync(bench.root)).toContain(`.git-env-${restoreId}`)
    expect(treeText(bench.root, [`.git-env-${restoreId}`])).toBe(changed)
    expect((await bench.capture()).live).toEqual([])
    const swap = await bench.swap(staged)
    await swap.lastCapture()
    await swap.forward()
    await swap.readBack()
    expect(treeText(bench.root, [`.git-env-${restoreId}`])).toBe(wanted)
    await swap.back()
    expect(treeText(bench.root, [`.git-env-${restoreId}`])).toBe(changed)
    await swap.discard()
    expect(treeText(bench.root)).toBe(changed)
    const before = await bench.restore(target)
    expect(treeText(bench.root)).toBe(wanted)
    await bench.restore(before)
    expect(treeText(bench.root)).toBe(changed)
  })

  test('a mount on another file system comes back from nothing, with the folders above it', async () => {
    const bench = await elsewhere()
    makeOddTree(bench.root)
    await settled()
    const target = await bench.capture()
    const wanted = treeText(bench.root)
    rmSync(bench.root, { recursive: true })
    const absent = await bench.capture()
    const before = await bench.restore(target)
    expect(treeText(bench.root)).toBe(wanted)
    expect(before).toEqual(absent)
    await bench.restore(absent)
    expect(readdirSync(path.dirname(bench.root))).toEqual([])
  })

  test('a mount on another file system comes back from a file in its place, and that file by undo', async () => {
    const bench = await elsewhere()
    makeOddTree(bench.root)
    await settled()
    const target = await bench.capture()
    const wanted = treeText(bench.root)
    rmSync(bench.root, { recursive: true })
    writeFileSync(bench.root, 'not a folder')
    await settled()
    const ruin = treeText(bench.root)
    const before = await bench.restore(target)
    expect(treeText(bench.root)).toBe(wanted)
    const swap = await bench.swap(await bench.stage(before))
    await swap.lastCapture()
    await swap.forward()
    await swap.readBack()
    expect(treeText(bench.root)).toBe(ruin)
    await swap.back()
    expect(treeText(bench.root)).toBe(wanted)
    await swap.discard()
    await bench.restore(before)
    expect(treeText(bench.root)).toBe(ruin)
    expect(readdirSync(path.dirname(bench.root))).toEqual(['media'])
  })

  test('a mount point cannot become the file that a snapshot has in its place', async () => {
    const bench = await MountBench.open({ path: '/dev/shm', context: { allowed: true } })
    const file = await MountBench.open()
    writeFileSync(file.root, 'not a folder')
    const safety = await file.capture()
    const service = await bench.service()
    await expect(
      service.stage(safety, safety, { source: file.content, id: restoreId, progress() {} }),
    ).rejects.toMatchObject({ code: 'refused', message: '/dev/shm is a mount point, and is no folder in the snapshot' })
  })

  test('folders above a mount that are gone are made, and taken away by the way back', async () => {
    const bench = await MountBench.open({ path: 'deep/er/media' })
    mkdirSync(bench.root, { recursive: true })
    writeFileSync(bench.file('x'), 'x')
    await settled()
    const target = await bench.capture()
    rmSync(path.join(bench.project, 'deep'), { recursive: true })
    const swap = await bench.swap(await bench.stage(target))
    await swap.lastCapture()
    await swap.forward()
    expect(readFileSync(bench.file('x'), 'utf8')).toBe('x')
    await swap.back()
    expect(readdirSync(bench.project)).toEqual([])
    await swap.discard()
  })

  test('too little room is refused before anything is written', async () => {
    const bench = await filled()
    const bytes = 2 ** 50
    const meta = { uid: 0, gid: 0, mtimeNs: 0n }
    const listing: TreeEntry[] = [
      { ...meta, path: '', type: 'directory', mode: 0o755 },
      { ...meta, path: 'huge', type: 'file', mode: 0o644, content: { bytes, sha256: '0'.repeat(64), chunks: [] } },
    ]
    const content = await bench.content.write('listing', Buffer.from(listing.map(encodeTreeEntry).join('')))
    const safety = await bench.capture()
    const target = { ...safety, streams: [{ name: 'tree', kind: 'tree', content }] } as const
    await expect(bench.stage(target, safety)).rejects.toMatchObject({
      code: 'unavailable',
      message: /1\.0 PiB are needed there to stage the files, .* are free$/,
    })
  })

  test('a folder in which nothing can be made is refused by name', async () => {
    const bench = await filled()
    const record = await bench.capture()
    const service = await (await MountBench.open({ path: '/sys/kernel', context: { allowed: true } })).service()
    const stage = service.stage(record, record, { source: bench.content, id: restoreId, progress() {} })
    await expect(stage).rejects.toMatchObject({ message: /^\/sys\/kernel: could not be staged into: E[A-Z]+$/ })
  })

  test('what is mounted inside is known by the list of the kernel, bind mounts too', () => {
    expect(mountPointsBelow('/dev')).toContain('shm')
    expect(mountPointsBelow('/dev/shm/nothing')).toEqual([])
  })
})

describe('an ordinary user', () => {
  test('restores read-only folders, and leaves them read-only', async () => {
    const bench = await MountBench.open()
    becomeOrdinaryUser(path.dirname(bench.project), bench.project)
    makeOddTree(bench.root)
    chmodSync(bench.root, 0o555)
    await settled()
    const target = await bench.capture()
    const wanted = treeText(bench.root)
    chmodSync(bench.root, 0o755)
    changeOddTree(bench.root, 1)
    mkdirSync(bench.file('sealed/inner'), { recursive: true })
    writeFileSync(bench.file('sealed/inner/file'), 'x')
    for (const name of ['sealed/inner', 'sealed', '']) chmodSync(bench.file(name), 0o555)
    await settled()
    const changed = treeText(bench.root)
    const swap = await bench.swap(await bench.stage(target))
    await swap.lastCapture()
    await swap.forward()
    await swap.readBack()
    expect(treeText(bench.root)).toBe(wanted)
    await swap.back()
    expect(treeText(bench.root)).toBe(changed)
    await swap.discard()
    const before = await bench.restore(target)
    expect(treeText(bench.root)).toBe(wanted)
    await bench.restore(before)
    expect(treeText(bench.root)).toBe(changed)
    chmodSync(bench.root, 0o755)
    execFileSync('chmod', ['-R', 'u+w', bench.root])
  })

  test('is refused beforehand where a folder belongs to somebody else', async () => {
    const bench = await filled()
    const target = await bench.capture()
    writeFileSync(bench.file('a/one'), 'changed')
    const ordinary = process.getuid!() === 0 ? { uid: 65534, gid: 65534 } : {}
    // Without root there is nobody else's folder but the system's own.
    const job = ordinary.uid === undefined ? undefined : await asUser(bench, target, ordinary)
    expect(
      job ?? { code: 'refused', message: 'a in the mount media belongs to user 0 and cannot be written to' },
    ).toEqual({
      code: 'refused',
      message: 'a in the mount media belongs to user 0 and cannot be written to',
    })
  })
})

describe('a hostile listing', () => {
  test('cannot make a restore write outside of the mount', async () => {
    const bench = await filled()
    const victim = path.join(bench.project, 'victim')
    writeFileSync(victim, 'untouched')
    const safety = await bench.capture()
    const meta = { uid: 0, gid: 0, mtimeNs: 0n, mode: 0o755 }
    const evil = await bench.content.write('rows', Buffer.from('evil'))
    const top: TreeEntry = { ...meta, path: '', type: 'directory' }
    for (const entries of [
      [
        top,
        { ...meta, path: 'out', type: 'symlink', target: '..' },
        { ...meta, path: 'out/victim', type: 'file', content: evil },
      ],
      [top, { ...meta, path: 'x', type: 'file', link: '../victim' }],
      [top, { ...meta, path: '../victim', type: 'file', content: evil }],
      [top, { ...meta, path: 'x', type: 'file', link: 'nowhere' }],
    ] as TreeEntry[][]) {
      const content = await bench.content.write('listing', Buffer.from(entries.map(encodeTreeEntry).join('')))
      const target = { ...safety, facts: { links: 1 }, streams: [{ name: 'tree', kind: 'tree', content }] } as const
      await expect(bench.stage(target, safety)).rejects.toMatchObject({ code: 'damaged' })
      await (await bench.service()).sweep(restoreId)
    }
    expect(readFileSync(victim, 'utf8')).toBe('untouched')
  })

  test('brings its symlinks back as what they are, without following them', async () => {
    const bench = await filled()
    symlinkSync('/etc', bench.file('etc'))
    await settled()
    const target = await bench.capture()
    rmSync(bench.file('etc'))
    mkdirSync(bench.file('etc'))
    writeFileSync(bench.file('etc/mine'), 'mine')
    await settled()
    await bench.restore(target)
    expect(readlinkSync(bench.file('etc'))).toBe('/etc')
  })
})
