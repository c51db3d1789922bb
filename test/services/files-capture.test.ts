import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import type { ContentSink } from '../../src/domain/content.ts'
import { bytePath } from '../../src/domain/tree.ts'
import { makeOddTree } from '../samples/files.ts'
import { becomeOrdinaryUser, MountBench, settled } from '../support/mount-bench.ts'

/** Bytes that this process has read from files, by the kernel's count. */
function bytesRead(): number {
  return Number(/^rchar: (\d+)/.exec(readFileSync('/proc/self/io', 'latin1'))![1])
}

async function filled(options: Parameters<typeof MountBench.open>[0] = {}): Promise<MountBench> {
  const bench = await MountBench.open(options)
  mkdirSync(bench.file('a/b'), { recursive: true })
  writeFileSync(bench.file('a/one'), 'one')
  writeFileSync(bench.file('a/b/two'), 'two')
  writeFileSync(bench.file('large'), Buffer.alloc(5 << 20, 'large '))
  await settled()
  return bench
}

describe('unchanged files', () => {
  test('are not read again, and what changed is', async () => {
    const bench = await filled()
    const start = bytesRead()
    const first = await bench.capture()
    const cold = bytesRead() - start
    const second = await bench.capture()
    const warm = bytesRead() - start - cold
    expect(second.streams).toEqual(first.streams)
    expect(cold).toBeGreaterThan(5 << 20)
    expect(warm).toBeLessThan(100_000)

    bench.content.written.length = 0
    writeFileSync(bench.file('a/one'), 'ONE')
    await settled()
    const third = await bench.capture()
    expect(bench.content.written.map(({ profile, content }) => [profile, content.bytes])).toEqual([
      ['rows', 3],
      ['listing', third.streams[0]!.content.bytes],
    ])
  })

  test('are read again when the store does not hold them', async () => {
    const bench = await filled()
    const first = await bench.capture()
    bench.content.chunks.clear()
    expect(await bench.capture()).toEqual(first)
    expect(await bench.text(first, 'a/one')).toBe('one')
  })

  test('are read again when the cache is damaged, cut short or of another version', async () => {
    const bench = await filled()
    const first = await bench.capture()
    const cache = path.join(bench.privateDirectory, 'contents')
    const whole = readFileSync(cache, 'utf8')
    const two = (await bench.entries(first)).get('a/b/two')!.content!.sha256
    const lies = [
      whole.replaceAll((await bench.entries(first)).get('a/one')!.content!.sha256, two),
      whole.slice(0, whole.length / 2),
      whole.replace(/ 1\n/, ' 2\n'),
      `${whole}more\n`,
      '',
    ]
    for (const lie of lies) {
      writeFileSync(cache, lie)
      expect(await bench.capture()).toEqual(first)
    }
  })

  test('are told by more than size and mtime: a change that keeps both is seen', async () => {
    const bench = await filled()
    utimesSync(bench.file('a/one'), 1000, 1000)
    await settled()
    await bench.capture()
    writeFileSync(bench.file('a/one'), 'two')
    utimesSync(bench.file('a/one'), 1000, 1000)
    await settled()
    expect(await bench.text(await bench.capture(), 'a/one')).toBe('two')
  })

  test('are not trusted when they were written in the very moment they were read', async () => {
    const bench = await filled()
    for (let round = 0; round < 20; round++) {
      writeFileSync(bench.file('a/one'), `old ${round % 10}`)
      await bench.capture({ options: { live: true } })
      writeFileSync(bench.file('a/one'), `new ${round % 10}`)
      await settled()
      expect(await bench.text(await bench.capture(), 'a/one')).toBe(`new ${round % 10}`)
    }
  })
})

describe('the point', () => {
  test('holds what was written before it, also after it was read ahead', async () => {
    const bench = await filled()
    const record = await bench.capture({
      beforePoint: () => {
        writeFileSync(bench.file('a/one'), 'before the point')
        rmSync(bench.file('a/b/two'))
        writeFileSync(bench.file('new'), 'new')
      },
    })
    expect(record).toMatchObject({ level: 'frozen', live: [] })
    expect(await bench.text(record, 'a/one')).toBe('before the point')
    expect([...(await bench.entries(record)).keys()]).toEqual(['', 'a', 'a/b', 'a/one', 'large', 'new'])
  })

  test('is that of files that were changed, replaced, made or removed after it, having been looked at in it', async () => {
    const bench = await filled()
    writeFileSync(bench.file('a/three'), 'three')
    await settled()
    const record = await bench.capture({
      beforePoint: () => {
        writeFileSync(bench.file('a/one'), 'at the point')
        writeFileSync(bench.file('passing'), 'made before it, removed after it')
        rmSync(bench.file('a/three'))
      },
      afterPoint: () => {
        // What is made within the same step of the clock as the look could be of before it, and is named.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 15)
        writeFileSync(bench.file('a/one'), 'after')
        writeFileSync(bench.file('a/b/two.new'), 'after')
        renameSync(bench.file('a/b/two.new'), bench.file('a/b/two'))
        writeFileSync(bench.file('new'), 'new')
        writeFileSync(bench.file('a/three'), 'made again')
        rmSync(bench.file('passing'))
      },
    })
    expect(record).toMatchObject({ level: 'frozen', live: [] })
    const entries = await bench.entries(record)
    expect([...entries.keys()]).toEqual(['', 'a', 'a/b', 'a/b/two', 'a/one', 'large', 'passing'])
    expect(await bench.text(record, 'a/one')).toBe('at the point')
    expect(await bench.text(record, 'a/b/two')).toBe('two')
    expect(await bench.text(record, 'passing')).toBe('made before it, removed after it')
    expect(entries.get('')!.mtimeNs).toBeLessThan(lstatSync(bench.root, { bigint: true }).mtimeNs)
  })

  test('is not that of what there was no time to look at and is changed, moved or removed after it: that is named', async () => {
    const bench = await filled()
    mkdirSync(bench.file('moved'))
    writeFileSync(bench.file('moved/with it'), 'x')
    writeFileSync(bench.file('huge'), Buffer.alloc(5 << 20, 'before'))
    linkSync(bench.file('large'), bench.file('linked'))
    await settled()
    const record = await bench.capture({
      beforePoint: () => appendFileSync(bench.file('huge'), 'more'),
      afterPoint: () => {
        appendFileSync(bench.file('huge'), 'after')
        appendFileSync(bench.file('linked'), 'after')
        renameSync(bench.file('moved'), bench.file('elsewhere'))
      },
    })
    expect(record.level).toBe('live')
    expect(record.live).toEqual(['.', 'elsewhere', 'huge', 'large', 'linked', 'moved', 'moved/with it'])
    expect(await bench.text(record, 'huge')).toMatch(/moreafter$/)
  })

  test('loses nothing that there was no time to look at, and says that it is not sure', async () => {
    const bench = await filled()
    const huge = Buffer.alloc(5 << 20, 'made before the point')
    const record = await bench.capture({
      beforePoint: () => {
        writeFileSync(bench.file('a/replaced after it'), huge)
        writeFileSync(bench.file('removed after it'), huge)
      },
      afterPoint: () => {
        writeFileSync(bench.file('a/new'), 'after')
        renameSync(bench.file('a/new'), bench.file('a/replaced after it'))
        rmSync(bench.file('removed after it'))
      },
    })
    expect([...(await bench.entries(record)).keys()]).toContain('a/replaced after it')
    expect(record.level).toBe('live')
    expect(record.live).toEqual(expect.arrayContaining(['.', 'a', 'a/replaced after it']))
  })

  test('is not taken part in by a live capture, which names nothing', async () => {
    const bench = await filled()
    const record = await bench.capture({
      options: { live: true },
      afterPoint: () => writeFileSync(bench.file('a/one'), 'after'),
    })
    expect(record).toMatchObject({ level: 'live', live: [] })
  })

  test('of a mount that vanishes after it: absent, and named', async () => {
    const bench = await filled()
    const record = await bench.capture({ afterPoint: () => rmSync(bench.root, { recursive: true }) })
    expect(record).toMatchObject({ presence: 'absent', level: 'live', live: ['.'] })
  })
})

describe('a file that changes while it is read', () => {
  /** A sink in whose middle of taking a large file something happens. */
  function meddling(bench: MountBench, meddle: () => void): ContentSink {
    return {
      holds: (content) => bench.content.holds(content),
      write: (profile, bytes) => {
        async function* slowly() {
          for await (const part of bytes as AsyncIterable<Uint8Array>) {
            yield part
            if (profile !== 'listing') meddle()
          }
        }
        return bench.content.write(profile, bytes instanceof Uint8Array ? bytes : slowly())
      },
    }
  }

  test('is read again until it holds still', async () => {
    const bench = await filled()
    let times = 0
    const sink = meddling(bench, () => {
      if (times++ === 0) writeFileSync(bench.file('large'), Buffer.alloc(5 << 20, 'LARGE '))
    })
    const record = await bench.capture({ sink })
    expect(record.level).toBe('frozen')
    expect(await bench.text(record, 'large')).toBe(readFileSync(bench.file('large'), 'utf8'))
  })

  test('and never holds still is named', async () => {
    const bench = await filled()
    const record = await bench.capture({ sink: meddling(bench, () => appendFileSync(bench.file('large'), 'x')) })
    expect(record).toMatchObject({ level: 'live', live: ['large'] })
    const live = await bench.capture({
      sink: meddling(bench, () => appendFileSync(bench.file('large'), 'x')),
      options: { live: true },
    })
    expect(live).toMatchObject({ level: 'live', live: ['large'] })
  })
})

describe('what is captured', () => {
  test('is everything a folder can hold, with modes, owners, times, links and holes', async () => {
    const bench = await MountBench.open()
    makeOddTree(bench.root)
    await settled()
    const entries = await bench.entries(await bench.capture())
    expect(entries.get('program')).toMatchObject({ mode: 0o4755 })
    expect(entries.get('old')!.mtimeNs).toBe(statSync(bench.file('old'), { bigint: true }).mtimeNs)
    expect(entries.get('holes')).toMatchObject({ sparse: true, content: { bytes: 300_003 } })
    expect(entries.get('a/b/and here')).toHaveProperty('content')
    expect(entries.get('a/linked too')).toMatchObject({ link: 'a/b/and here' })
    expect(entries.get('linked')).toMatchObject({ link: 'a/b/and here' })
    expect(entries.get('dangling')).toMatchObject({ target: '/nowhere/../at all' })
    expect(entries.get('odd/not-utf8-\xff\xfe')).toMatchObject({ content: { bytes: 5 } })
    expect(entries.get(bytePath('größe-日本'))).toMatchObject({ content: { bytes: 7 } })
    expect(entries.get('empty')).toMatchObject({ type: 'directory' })
  })

  test('is cut for rows unless it is large and binary', async () => {
    const bench = await MountBench.open()
    mkdirSync(bench.root)
    writeFileSync(bench.file('large-text'), Buffer.alloc(9 << 20, 'text '))
    writeFileSync(bench.file('small-binary'), Buffer.alloc(2 << 20, 0))
    writeFileSync(bench.file('large-binary'), Buffer.alloc(9 << 20, '\0binary'))
    await settled()
    await bench.capture()
    const bySize = bench.content.written.map(({ profile, content }) => [profile, content.bytes >> 20])
    expect(bySize).toEqual(
      expect.arrayContaining([
        ['rows', 9],
        ['rows', 2],
        ['binary', 9],
        ['listing', 0],
      ]),
    )
  })

  test('is not called sparse for holes alone or zeros alone', async () => {
    const bench = await MountBench.open()
    mkdirSync(bench.root)
    writeFileSync(bench.file('zeros'), Buffer.alloc(100_000))
    writeFileSync(bench.file('holes'), '')
    truncateSync(bench.file('holes'), 100_000)
    await settled()
    const entries = await bench.entries(await bench.capture())
    expect([entries.get('zeros')!.sparse, entries.get('holes')!.sparse]).toEqual([undefined, true])
  })

  test('leaves out sockets, pipes and devices, and says so', async () => {
    const bench = await filled()
    execFileSync('mkfifo', [bench.file('a/pipe')])
    await settled()
    const record = await bench.capture()
    expect(record.facts).toEqual({ unsupported: ['a/pipe (pipe)'], unsupportedCount: 1 })
    expect([...(await bench.entries(record)).keys()]).not.toContain('a/pipe')
    expect((await (await bench.service()).probe()).warnings).toEqual(['not captured, since it is no file (1): a/pipe'])
  })

  test('leaves out what is foreign and what is excluded, with all in it', async () => {
    const bench = await MountBench.open({ exclude: ['cache/**', '*.log', 'tmp/', './a/deep'] })
    for (const folder of ['cache/x', 'tmp', 'a/deep', '.hidden', 'data.sqlite-folder']) {
      mkdirSync(bench.file(folder), { recursive: true })
      writeFileSync(bench.file(`${folder}/inside`), 'x')
    }
    for (const file of ['x.log', 'a/x.log', 'data.sqlite', 'data.sqlite-wal', '.hidden/.log'])
      writeFileSync(bench.file(file), file)
    await settled()
    const foreign = new Set(['data.sqlite', 'data.sqlite-wal'].map((name) => bytePath(bench.file(name))))
    const service = await bench.service({ foreign })
    const capture = await service.capture(bench.content, { damage: 'keep', live: false, progress() {} })
    await capture.point()
    const entries = await bench.entries(await capture.copy())
    expect([...entries.keys()]).toEqual([
      '',
      '.hidden',
      '.hidden/.log',
      '.hidden/inside',
      'a',
      'a/x.log',
      'cache',
      'data.sqlite-folder',
      'data.sqlite-folder/inside',
    ])
  })

  test('counts a file of several names once', async () => {
    const bench = await filled()
    linkSync(bench.file('large'), bench.file('again'))
    await settled()
    const seen: number[] = []
    const record = await bench.capture({ options: { progress: (bytes) => seen.push(bytes) } })
    expect(record).toMatchObject({ files: 4, bytes: (5 << 20) + 6, facts: { links: 1 } })
    expect(seen.reduce((a, b) => a + b)).toBe(record.bytes)
  })

  test('stops when it is cancelled', async () => {
    const bench = await filled()
    for (let i = 0; i < 600; i++) writeFileSync(bench.file(`many-${i}`), 'x')
    const cancel = new AbortController()
    const service = await bench.service({ signal: cancel.signal })
    const capture = service.capture(bench.content, { damage: 'keep', live: false, progress: () => cancel.abort() })
    await expect(capture).rejects.toMatchObject({ code: 'cancelled' })
  })
})

describe('what cannot be read', () => {
  test('stops the capture and is named: a snapshot is whole or absent', async () => {
    const bench = await filled()
    chmodSync(bench.file('a/one'), 0)
    chownSync(bench.file('a/one'), 0, 0)
    becomeOrdinaryUser(bench.project, path.dirname(bench.project))
    await expect(bench.capture()).rejects.toMatchObject({
      code: 'unavailable',
      message: `${bench.file('a/one')}: cannot be read: EACCES`,
      hint: 'give this user the right to read it, or take it out of the mount with exclude',
    })
  })

  test('also when it is a folder', async () => {
    const bench = await filled()
    chmodSync(bench.file('a/b'), 0)
    becomeOrdinaryUser(bench.project, path.dirname(bench.project))
    await expect(bench.capture()).rejects.toMatchObject({ message: `${bench.file('a/b')}: cannot be read: EACCES` })
  })
})
