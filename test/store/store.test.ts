import { hash, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LocalBackend } from '../../src/backends/local.ts'
import { MemoryBackend } from '../../src/backends/memory.ts'
import type { Content } from '../../src/domain/content.ts'
import { encodeTree, type TreeEntry } from '../../src/domain/tree.ts'
import { createStore, openStore } from '../../src/store/packed-store.ts'
import {
  bytesOf,
  createdAt,
  inParts,
  manifestOf,
  noise,
  rows,
  storeId,
  writeSnapshot,
} from '../support/store-samples.ts'
import { temporaryDirectory } from '../support/temporary.ts'

async function newStore(trace?: (step: string) => void) {
  const backend = new MemoryBackend()
  const store = await createStore(backend, { id: storeId, createdAt, ...(trace ? { trace } : {}) })
  return { backend, store }
}

const profiles = ['rows', 'binary', 'pages', 'listing'] as const

describe('a store', () => {
  it('gives back what was written, whatever the profile, the length and the parts it came in', async () => {
    const { store } = await newStore()
    const writer = store.writer()
    const source = Buffer.concat([rows(900_000), noise(900_000, 3)])
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...profiles),
        fc.integer({ min: 0, max: source.length }),
        fc.nat(source.length),
        fc.integer({ min: 1000, max: 400_000 }),
        async (profile, length, offset, part) => {
          const bytes = source.subarray(offset, offset + length)
          const content = await writer.write(profile, inParts(bytes, part))
          expect(content).toEqual(await writer.write(profile, bytes))
          expect(content.bytes).toBe(bytes.length)
          expect(content.sha256).toBe(hash('sha256', bytes))
          expect(Buffer.compare(await bytesOf(writer.read(content)), bytes)).toBe(0)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('finds a snapshot again in another process, on a disk', async () => {
    const directory = await temporaryDirectory()
    const backend = new LocalBackend(directory)
    const steps: string[] = []
    const store = await createStore(backend, { id: storeId, createdAt, trace: (step) => steps.push(step) })
    const streams = [rows(2_000_000), noise(20_000_000, 1), Buffer.alloc(0), Buffer.from('x')]
    const { digest, manifest, contents } = await writeSnapshot(store.writer(), streams)
    expect(steps.map((step) => step.replace(/[0-9a-f]{8}…/, 'ID'))).toEqual([
      'store: format written',
      'store: pack ID written',
      'store: pack ID written',
      'store: index ID written',
      'store: manifest ID written',
    ])

    const again = await openStore(new LocalBackend(directory), { expectedId: storeId })
    expect(again).toMatchObject({ id: storeId, location: directory })
    expect(await again.manifests()).toEqual(new Set([digest]))
    expect(await again.manifest(digest)).toEqual(manifest)
    for (const [i, content] of contents.entries()) {
      expect(Buffer.compare(await bytesOf(again.read(content)), streams[i]!)).toBe(0)
    }
    expect(await again.check(manifest, { data: true })).toEqual([])
    const report = await again.verify({ data: true })
    expect(report).toMatchObject({ damages: [], packs: 2, manifests: 1 })
    expect(report.bytesRead).toBeGreaterThan(20_000_000)
    expect(await again.usage()).toMatchObject({ packs: 2, manifests: 1 })
  })

  it('stores the same bytes once', async () => {
    const { backend, store } = await newStore()
    const bytes = rows(1_000_000)
    await writeSnapshot(store.writer(), [bytes, bytes])
    const before = await store.usage()
    const again = await openStore(backend)
    const writer = again.writer()
    const { contents } = await writeSnapshot(writer, [bytes], '01j00000000000000000000002')
    expect(writer.added).toEqual({ plainBytes: 0, storedBytes: 0, chunks: 0 })
    expect(await again.usage()).toMatchObject({ packs: before.packs, manifests: 2 })
    expect(Buffer.compare(await bytesOf(again.read(contents[0]!)), bytes)).toBe(0)
  })

  it('stores of an edited dump little more than the edits', async () => {
    const { store } = await newStore()
    const bytes = rows(8_000_000)
    await writeSnapshot(store.writer(), [bytes])
    const edited = Buffer.from(bytes)
    for (let i = 0; i < 5; i++) edited.write('EDIT', 1_500_000 * i + 77)
    const writer = store.writer()
    await writeSnapshot(writer, [edited], '01j00000000000000000000002')
    expect(writer.added.chunks).toBeGreaterThan(0)
    expect(writer.added.plainBytes).toBeLessThan(5 * 2 * 256 * 1024)
  })

  it('compresses what can be compressed, and only that', async () => {
    const { store } = await newStore()
    const text = store.writer()
    await writeSnapshot(text, [rows(3_000_000)])
    expect(text.added.storedBytes).toBeLessThan(1_500_000)
    const random = store.writer()
    await writeSnapshot(random, [randomBytes(3_000_000)], '01j00000000000000000000002')
    expect(random.added.storedBytes).toBeGreaterThan(3_000_000)
    expect(random.added.storedBytes).toBeLessThan(3_000_000 * 1.002)
  })

  it('keeps the chunk ids of a long content in chunks of their own', async () => {
    const { store } = await newStore()
    const bytes = noise(4_000_000, 5)
    const { contents, manifest } = await writeSnapshot(store.writer(), [bytes])
    expect(contents[0]!.chunks).toBeUndefined()
    expect(contents[0]!.list!.length).toBeGreaterThan(0)
    expect(Buffer.compare(await bytesOf(store.read(contents[0]!)), bytes)).toBe(0)
    expect(await store.check(manifest, { data: true })).toEqual([])
  })

  it('takes writes at the same time', async () => {
    const { backend, store } = await newStore()
    const writer = store.writer()
    const streams = Array.from({ length: 40 }, (_, i) =>
      i % 3 === 0 ? noise(700_000, i % 8) : rows(300_000 + i * 1000, i % 5),
    )
    const contents = await Promise.all(
      streams.map((bytes, i) => writer.write(i % 2 === 0 ? 'rows' : 'binary', i % 4 === 0 ? bytes : inParts(bytes))),
    )
    const digest = await writer.finish(manifestOf(contents))
    const again = await openStore(backend)
    expect(await again.check(await again.manifest(digest), { data: true })).toEqual([])
    for (const [i, content] of contents.entries()) {
      expect(Buffer.compare(await bytesOf(again.read(content)), streams[i]!)).toBe(0)
    }
  })

  it('lets two writers make snapshots of the same data at the same time', async () => {
    const { backend, store } = await newStore()
    const other = await openStore(backend)
    const bytes = noise(3_000_000, 9)
    const [one, two] = await Promise.all([
      writeSnapshot(store.writer(), [bytes]),
      writeSnapshot(other.writer(), [bytes], '01j00000000000000000000002'),
    ])
    const third = await openStore(backend)
    expect(await third.check(one.manifest, { data: true })).toEqual([])
    expect(await third.check(two.manifest, { data: true })).toEqual([])
    expect((await third.verify({ data: true })).damages).toEqual([])
  })

  it('throws what the producer throws, and goes on', async () => {
    const { store } = await newStore()
    const writer = store.writer()
    const producer = async function* () {
      yield rows(500_000)
      throw new Error('the dump ended with exit status 3')
    }
    await expect(writer.write('rows', producer())).rejects.toThrow('exit status 3')
    const content = await writer.write('rows', rows(600_000, 2))
    await writer.finish(manifestOf([content]))
    expect(await store.check(manifestOf([content]), { data: true })).toEqual([])
  })

  it('reads a content while it is still being written, and what others wrote since', async () => {
    const { backend, store } = await newStore()
    const other = await openStore(backend)
    await other.verify({ data: false })
    const writer = store.writer()
    const bytes = rows(400_000)
    const content = await writer.write('rows', bytes)
    expect(Buffer.compare(await bytesOf(writer.read(content)), bytes)).toBe(0)
    expect(Buffer.compare(await bytesOf(other.read(content)), bytes)).toBe(0)
  })

  it('gives single chunks their own SHA-256 as id', async () => {
    const { store } = await newStore()
    const writer = store.writer()
    const content = await writer.write('rows', Buffer.from('small'))
    expect(content).toEqual({ bytes: 5, sha256: hash('sha256', 'small'), chunks: [hash('sha256', 'small')] })
    expect(await writer.write('rows', Buffer.alloc(0))).toEqual({ bytes: 0, sha256: hash('sha256', ''), chunks: [] })
  })

  it('says of a content whether all of it is there', async () => {
    const { store } = await newStore()
    const first = store.writer()
    const long = await first.write('rows', noise(4_000_000, 5))
    const small = await first.write('rows', Buffer.from('small'))
    expect(await first.holds(long)).toBe(true)
    await first.finish(manifestOf([long, small]))
    const writer = store.writer()
    expect(await writer.holds(long)).toBe(true)
    expect(await writer.holds(small)).toBe(true)
    expect(await writer.holds({ bytes: 0, sha256: hash('sha256', ''), chunks: [] })).toBe(true)
    const unknown = hash('sha256', 'unknown')
    expect(await writer.holds({ bytes: 7, sha256: unknown, chunks: [unknown] })).toBe(false)
    expect(await writer.holds({ ...long, list: [...long.list!, unknown] })).toBe(false)
    expect(await writer.holds({ bytes: 1, sha256: 'x' } as Content)).toBe(false)
  })

  it('counts in a dry run what a real one would store, stores nothing, and reads its listings', async () => {
    const { store } = await newStore()
    await writeSnapshot(store.writer(), [rows(500_000)])
    const before = await store.usage()
    const streams = [rows(900_000), noise(600_000, 4)]
    const listing = rows(300_000, 9)
    const dry = store.writer({ dryRun: true })
    const contents = []
    for (const bytes of streams) contents.push(await dry.write('rows', inParts(bytes)))
    const listed = await dry.write('listing', inParts(listing))
    expect(Buffer.compare(await bytesOf(dry.read(listed)), listing)).toBe(0)
    const digest = await dry.finish(manifestOf([...contents, listed]))
    expect(await store.usage()).toEqual(before)
    await expect(store.manifest(digest)).rejects.toMatchObject({ code: 'not-found' })

    const real = store.writer()
    for (const [i, bytes] of streams.entries()) expect(await real.write('rows', bytes)).toEqual(contents[i])
    expect(await real.write('listing', listing)).toEqual(listed)
    expect(await real.finish(manifestOf([...contents, listed]))).toBe(digest)
    expect(real.added).toMatchObject({ plainBytes: dry.added.plainBytes, chunks: dry.added.chunks })
    expect(Math.abs(real.added.storedBytes - dry.added.storedBytes)).toBeLessThan(10_000)
  })

  it('leaves what was stored for the next snapshot when one is given up', async () => {
    const { store } = await newStore()
    const writer = store.writer()
    await writer.write('binary', inParts(noise(40_000_000, 2)))
    await writer.abort()
    await expect(writer.write('rows', Buffer.from('x'))).rejects.toThrow()
    expect((await store.manifests()).size).toBe(0)
    const { packs } = await store.usage()
    expect(packs).toBeGreaterThan(0)
    const next = store.writer()
    await next.write('binary', inParts(noise(40_000_000, 2)))
    expect(next.added.plainBytes).toBeLessThan(40_000_000 - packs * 10_000_000)
  })

  it('can be given up while writes wait', async () => {
    const { store } = await newStore()
    const writer = store.writer()
    const writes = Array.from({ length: 6 }, (_, i) => writer.write('rows', inParts(rows(3_000_000, i))))
    const settled = Promise.allSettled(writes)
    await writer.abort()
    for (const result of await settled) {
      expect(result.status === 'rejected' && (result.reason as { code: string }).code).toBe('cancelled')
    }
  })

  it('checks the files that a listing names', async () => {
    const { backend, store } = await newStore()
    const writer = store.writer()
    const files = [noise(300_000, 1), rows(200_000), Buffer.alloc(0)]
    const owner = { mode: 0o644, uid: 0, gid: 0, mtimeNs: 5n }
    const entries: TreeEntry[] = [{ path: '', type: 'directory', ...owner }]
    for (const [i, bytes] of files.entries()) {
      entries.push({ path: `f${i}`, type: 'file', ...owner, content: await writer.write('binary', bytes) })
    }
    const tree = await writer.write('listing', encodeTree(entries))
    const manifest = manifestOf([], undefined, tree)
    await writer.finish(manifest)
    expect(await store.check(manifest, { data: true })).toEqual([])
    const seen: number[] = []
    await store.check(manifest, { data: true, progress: (done, total) => seen.push(done, total) })
    expect(seen.at(-1)).toBe(seen.at(-2))

    const lost = await openStore(backend)
    for await (const { name } of backend.list('packs/')) await backend.delete(name)
    expect((await lost.check(manifest, { data: false })).length).toBeGreaterThan(0)
  })
})

describe('opening a store', () => {
  it('refuses a place without one, and makes nothing there', async () => {
    const backend = new MemoryBackend({ location: '/backups/shop' })
    await expect(openStore(backend)).rejects.toMatchObject({
      code: 'not-found',
      message: 'there is no store at /backups/shop',
      hint: 'look whether its disk is mounted; `git env init` makes a new one',
    })
    for await (const { name } of backend.list('')) throw new Error(`${name} was made`)
  })

  it('refuses another store', async () => {
    const { backend } = await newStore()
    await expect(openStore(backend, { expectedId: '01j00000000000000000other00' })).rejects.toMatchObject({
      code: 'refused',
      message: `the store at memory: is ${storeId}, not 01j00000000000000000other00`,
    })
  })

  it('does not make a store where one is', async () => {
    const { backend } = await newStore()
    await expect(createStore(backend, { id: storeId, createdAt })).rejects.toMatchObject({ code: 'refused' })
  })

  it('says `damaged` in one line when any byte of `format` is another', async () => {
    const { backend } = await newStore()
    const good = await backend.get('format')
    for (let i = 0; i < good.length; i++) {
      const flipped = Uint8Array.from(good)
      flipped[i]! ^= 1 << (i % 8)
      await backend.delete('format')
      await backend.put('format', [flipped])
      await expect(openStore(backend)).rejects.toMatchObject({
        code: 'damaged',
        message: 'the file "format" of the store memory: is damaged',
      })
    }
  })

  it('refuses a store that a newer git-env made', async () => {
    const { backend } = await newStore()
    const text = Buffer.from(await backend.get('format')).toString()
    const { sha256: _, ...members } = JSON.parse(text)
    const { canonicalJson } = await import('../../src/domain/canonical-json.ts')
    const newer = { ...members, version: 2, keys: ['something new'] }
    const bytes = Buffer.from(`${canonicalJson({ ...newer, sha256: hash('sha256', canonicalJson(newer)) })}\n`)
    await backend.delete('format')
    await backend.put('format', [bytes])
    await expect(openStore(backend)).rejects.toMatchObject({
      code: 'refused',
      message: 'the store memory: has the format 2, made by a newer git-env',
      hint: 'this git-env reads format 1: install a newer one',
    })
  })

  it('finds no manifest by a name that is none', async () => {
    const { store } = await newStore()
    await expect(store.manifest('../format')).rejects.toMatchObject({ code: 'not-found' })
    await expect(store.manifest('a'.repeat(64))).rejects.toMatchObject({ code: 'not-found' })
  })
})
