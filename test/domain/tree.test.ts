import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalJson } from '../../src/domain/canonical-json.ts'
import type { Content } from '../../src/domain/content.ts'
import {
  bytePath,
  compareTreePaths,
  decodeTree,
  decodeTreeEntry,
  displayPath,
  encodeTree,
  encodeTreeEntry,
  isWithin,
  parentPath,
  type TreeEntry,
} from '../../src/domain/tree.ts'
import { collect } from '../support/memory-content.ts'

const digest = 'ab'.repeat(32)
const content: Content = { bytes: 3, sha256: digest, chunks: [digest] }
const meta = { mode: 0o644, uid: 0, gid: 1000, mtimeNs: 1_700_000_000_123_456_789n }
const folder = (path: string): TreeEntry => ({ ...meta, path, type: 'directory', mode: 0o755 })
const file = (path: string): TreeEntry => ({ ...meta, path, type: 'file', content })
const symlink = (path: string, target: string): TreeEntry => ({ ...meta, path, type: 'symlink', target })

const segment = fc
  .uint8Array({ minLength: 1, maxLength: 12 })
  .map((bytes) => Buffer.from(bytes).toString('latin1').replaceAll(/[/\0]/g, '_'))
  .filter((name) => name !== '.' && name !== '..')

async function decoded(text: string | Uint8Array, partBytes = 7): Promise<TreeEntry[]> {
  const bytes = Buffer.from(text)
  async function* parts() {
    for (let i = 0; i < bytes.length; i += partBytes) yield bytes.subarray(i, i + partBytes)
  }
  return collect(decodeTree(parts()))
}

describe('the order of a listing', () => {
  test('a folder comes right before all that it holds, and siblings in the order of their bytes', () => {
    const paths = ['a-b', 'a', 'b', 'a/z', 'a/b/c', 'a.b', '', 'a/b', 'a/b-c', '\xff', 'Z']
    expect(paths.toSorted(compareTreePaths)).toEqual([
      '',
      'Z',
      'a',
      'a/b',
      'a/b/c',
      'a/b-c',
      'a/z',
      'a-b',
      'a.b',
      'b',
      '\xff',
    ])
  })

  test('it is that of a walk that goes into each folder at once', () => {
    const tree = fc.uniqueArray(fc.array(segment, { minLength: 1, maxLength: 4 }), {
      selector: (segments) => segments.join('/'),
    })
    fc.assert(
      fc.property(tree, (lists) => {
        const bySegment = lists.toSorted((a, b) => {
          const at = a.findIndex((each, i) => each !== b[i])
          if (at === -1) return a.length - b.length
          return b[at] === undefined ? 1 : a[at]! < b[at]! ? -1 : 1
        })
        const joined = bySegment.map((segments) => segments.join('/'))
        expect(joined.toSorted(compareTreePaths)).toEqual(joined)
      }),
    )
  })

  test('a path is within its folder, the top holds all, and a name that begins alike is not within', () => {
    expect(isWithin('a', 'a/b')).toBe(true)
    expect(isWithin('', 'a/b')).toBe(true)
    expect(isWithin('a', 'a-b')).toBe(false)
    expect([parentPath('a/b/c'), parentPath('a'), parentPath('')]).toEqual(['a/b', '', ''])
  })
})

describe('a listing', () => {
  test('gives back every entry it was made of, however it is cut into parts', async () => {
    const entries: TreeEntry[] = [
      folder(''),
      folder('a'),
      { ...file('a/sparse'), sparse: true },
      { ...meta, path: 'a/zlink', type: 'file', link: 'a/sparse' },
      symlink('b\n"\\', '../\xff\xfe'),
      file(bytePath('größe-日本')),
      { ...file('\xff\xfe'), mtimeNs: -86_400_000_000_001n, mode: 0o4755 },
    ]
    const text = Buffer.concat(await collect(encodeTree(entries)))
    for (const partBytes of [1, 7, 1 << 20]) expect(await decoded(text, partBytes)).toEqual(entries)
  })

  test('gives back any path, and shows it as UTF-8 only where it is UTF-8', () => {
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 5 }), (segments) => {
        const path = segments.join('/')
        const line = encodeTreeEntry(symlink(path, path))
        expect(decodeTreeEntry(line)).toEqual(symlink(path, path))
        expect(line.includes('"path":')).toBe(bytePath(displayPath(path)) === path)
      }),
    )
  })

  test('has one valid encoding, which is canonical JSON', () => {
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 3 }), (segments) => {
        for (const entry of [
          file(segments.join('/')),
          symlink(segments.join('/'), segments[0]!),
          folder(segments.join('/')),
        ]) {
          const line = encodeTreeEntry(entry)
          expect(line).toBe(`${canonicalJson(JSON.parse(line))}\n`)
        }
      }),
    )
  })

  test('looks like this', () => {
    expect(encodeTreeEntry(file('a/b'))).toBe(
      `{"content":{"bytes":3,"chunks":["${digest}"],"sha256":"${digest}"},"gid":1000,"mode":420,"mtimeNs":"1700000000123456789","path":"a/b","type":"file","uid":0}\n`,
    )
  })
})

describe('a listing is refused as damaged', () => {
  const line = (change: Record<string, unknown>) =>
    JSON.stringify({ path: 'a', type: 'file', mode: 420, uid: 0, gid: 0, mtimeNs: '1', content, ...change })
  const bad: Record<string, Record<string, unknown>> = {
    'when a path leaves the folder': { path: '../a' },
    'when a path is absolute': { path: '/etc/passwd' },
    'when a path has an empty segment': { path: 'a//b' },
    'when a path has a segment of one dot': { path: 'a/./b' },
    'when a path holds NUL': { path: 'a\0b' },
    'when bytes of a path leave the folder': {
      path: undefined,
      pathBytes: Buffer.from('a/../../b').toString('base64'),
    },
    'when there is no path': { path: undefined },
    'when a kind is unknown': { type: 'device' },
    'when a kind is a name of every object': { type: 'constructor' },
    'when the mode has more than twelve bits': { mode: 0o10000 },
    'when the mode is no number': { mode: '644' },
    'when an owner is negative': { uid: -1 },
    'when a time is no whole number': { mtimeNs: '1.5' },
    'when a time is endless': { mtimeNs: '9'.repeat(31) },
    'when a file has neither content nor link': { content: undefined },
    'when a file has both content and link': { link: 'b' },
    'when a link leaves the folder': { content: undefined, link: '../b' },
    'when a content has no size': { content: { sha256: digest, chunks: [] } },
    'when a content has chunks and a list': { content: { ...content, list: [digest] } },
    'when a chunk id is none': { content: { ...content, chunks: ['../../x'] } },
    'when a folder has content': { type: 'directory' },
    'when a symlink has no target': { type: 'symlink', content: undefined },
    'when a file has a target': { target: 'b' },
    'when holes are anything but true': { sparse: 1 },
  }
  for (const [when, change] of Object.entries(bad)) {
    test(when, () => {
      expect(() => decodeTreeEntry(line(change))).toThrow(expect.objectContaining({ code: 'damaged' }))
    })
  }

  test('while the line those were made from is fine', () => {
    expect(decodeTreeEntry(line({})).path).toBe('a')
  })

  const listings: Record<string, readonly TreeEntry[] | string> = {
    'when it does not begin with the folder itself': [file('a')],
    'when what stands in the place of the folder is a file that holds something': [file(''), file('a')],
    'when what stands in the place of the folder comes twice': [file(''), file('')],
    'when entries are not in order': [folder(''), file('b'), file('a')],
    'when a path comes twice': [folder(''), file('a'), file('a')],
    'when something lies below a symlink': [folder(''), symlink('a', '/etc'), file('a/passwd')],
    'when something lies below a file': [folder(''), file('a'), file('a/b')],
    'when a folder is left out': [folder(''), file('a/b')],
    'when a folder is left out between': [folder(''), folder('a'), file('a/b/c')],
    'when it ends in the middle of a line': encodeTreeEntry(folder('')).slice(0, -1),
    'when a line is no JSON': '{"path"\n',
    'when a line is no object': '[]\n',
    'when a line is null': 'null\n',
    'when a line is longer than any can be': `${' '.repeat(3 << 20)}`,
  }
  for (const [when, listing] of Object.entries(listings)) {
    test(when, async () => {
      const text = typeof listing === 'string' ? listing : listing.map(encodeTreeEntry).join('')
      await expect(decoded(text, 1 << 16)).rejects.toMatchObject({ code: 'damaged' })
    })
  }

  test('when it is not UTF-8', async () => {
    const bytes = Buffer.concat([Buffer.from('{"path":"'), Buffer.from([0xff]), Buffer.from('"}\n')])
    await expect(decoded(bytes)).rejects.toMatchObject({ code: 'damaged' })
  })
})
