import { hash } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { MemoryBackend } from '../../src/backends/memory.ts'
import type { StorageBackend } from '../../src/backends/storage-backend.ts'
import { EnvError } from '../../src/domain/errors.ts'
import type { Manifest } from '../../src/domain/manifest.ts'
import { encodeFooter, encodeFrameHead, frameMethods, packHead } from '../../src/domain/pack.ts'
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

const ids = ['01j00000000000000000000001', '01j00000000000000000000002'] as const

type Snapshot = Awaited<ReturnType<typeof writeSnapshot>> & {
  readonly pack: string
  readonly streams: readonly Buffer[]
}

async function names(backend: StorageBackend, prefix: string): Promise<readonly string[]> {
  const all: string[] = []
  for await (const { name } of backend.list(prefix)) all.push(name)
  return all.sort()
}

async function replace(backend: StorageBackend, name: string, bytes: Uint8Array): Promise<void> {
  await backend.delete(name)
  await backend.put(name, [bytes])
}

let backend: MemoryBackend
let first: Snapshot
let second: Snapshot

/** Two snapshots that share nothing, each with one small pack of a raw and a compressed frame. */
beforeEach(async () => {
  backend = new MemoryBackend()
  await createStore(backend, { id: storeId, createdAt })
  const made: Snapshot[] = []
  for (const [i, id] of ids.entries()) {
    const known = new Set(await names(backend, 'packs/'))
    const streams = [noise(5000, i + 10).subarray(0, 4200), rows(400, i + 1)]
    const snapshot = await writeSnapshot((await openStore(backend)).writer(), streams, id)
    const pack = (await names(backend, 'packs/')).find((name) => !known.has(name))!
    made.push({ ...snapshot, pack, streams })
  }
  ;[first, second] = made as [Snapshot, Snapshot]
})

/** What a read gives: the right bytes, or an error of this code. Never other bytes. */
async function readOutcome(snapshot: Snapshot): Promise<string> {
  const store = await openStore(backend)
  try {
    for (const [i, content] of snapshot.contents.entries()) {
      const bytes = await bytesOf(store.read(content))
      if (Buffer.compare(bytes, snapshot.streams[i]!) !== 0) return 'wrong bytes'
    }
    return 'right'
  } catch (error) {
    return error instanceof EnvError ? error.code : String(error)
  }
}

async function expectHit(damaged: Snapshot, other: Snapshot): Promise<void> {
  const store = await openStore(backend)
  const report = await store.verify({ data: true })
  const hit = report.damages.filter(({ object }) => object === damaged.pack)
  expect(hit).toHaveLength(1)
  expect(hit[0]!.snapshots).toEqual([damaged.manifest.id])
  expect(report.damages.filter(({ object }) => object.startsWith('packs/'))).toHaveLength(1)
  const fresh = await openStore(backend)
  expect((await fresh.check(damaged.manifest, { data: true })).map(({ object }) => object)).toEqual([damaged.pack])
  expect(await fresh.check(other.manifest, { data: true })).toEqual([])
  expect(['right', 'damaged']).toContain(await readOutcome(damaged))
  expect(await readOutcome(other)).toBe('right')
}

describe('damage to a pack', () => {
  it('is found at every byte, named with the snapshot it hits, and leaves the other alone', async () => {
    const good = await backend.get(first.pack)
    for (let i = 0; i < good.length; i += i < 150 || i > good.length - 250 ? 1 : 61) {
      const flipped = Uint8Array.from(good)
      flipped[i]! ^= 1 << (i % 8)
      await replace(backend, first.pack, flipped)
      await expectHit(first, second)
    }
  }, 60_000)

  it('is found at every byte when the index is lost too', async () => {
    for (const name of await names(backend, 'index/')) await backend.delete(name)
    const good = await backend.get(first.pack)
    for (let i = 0; i < good.length; i += i > good.length - 300 ? 3 : 101) {
      const flipped = Uint8Array.from(good)
      flipped[i]! ^= 0x80
      await replace(backend, first.pack, flipped)
      const report = await (await openStore(backend)).verify({ data: true })
      expect(report.damages.map(({ object }) => object)).toContain(first.pack)
      const objects = (await (await openStore(backend)).check(first.manifest, { data: true })).map(
        ({ object }) => object,
      )
      expect(objects.length).toBeGreaterThan(0)
      expect(await (await openStore(backend)).check(second.manifest, { data: true })).toEqual([])
      expect(['right', 'damaged']).toContain(await readOutcome(first))
    }
  }, 60_000)

  it('is found when it is cut short at any length', async () => {
    const good = await backend.get(first.pack)
    for (let length = 0; length < good.length; length += 97) {
      await replace(backend, first.pack, good.subarray(0, length))
      await expectHit(first, second)
    }
  }, 60_000)

  it('is found when it is zeroed, in part or whole, or has bytes after its end', async () => {
    const good = Buffer.from(await backend.get(first.pack))
    for (const [from, to] of [
      [0, good.length],
      [100, 612],
      [good.length - 64, good.length],
    ] as const) {
      await replace(backend, first.pack, Buffer.from(good).fill(0, from, to))
      await expectHit(first, second)
    }
    await replace(backend, first.pack, Buffer.concat([good, Buffer.from('x')]))
    await expectHit(first, second)
    await replace(backend, first.pack, await backend.get(second.pack))
    await expectHit(first, second)
  })

  it('is named when it is missing, also without reading any data', async () => {
    await backend.delete(first.pack)
    await expectHit(first, second)
    const store = await openStore(backend)
    const damages = [{ object: first.pack, reason: 'is missing' }]
    expect(await store.check(first.manifest, { data: false })).toEqual(damages)
    const report = await store.verify({ data: false })
    expect(report.damages).toEqual([{ ...damages[0], snapshots: [ids[0]] }])
    await expect(bytesOf(store.read(first.contents[0]!))).rejects.toMatchObject({
      code: 'damaged',
      message: `${first.pack} in memory: is missing`,
    })
  })

  it('says which chunk no pack holds when pack and index are both gone', async () => {
    await backend.delete(first.pack)
    for (const name of await names(backend, 'index/')) await backend.delete(name)
    const store = await openStore(backend)
    const chunk = first.contents[0]!.chunks![0]
    expect(await store.check(first.manifest, { data: false })).toEqual([
      { object: 'packs/', reason: `no pack holds the chunk ${chunk}` },
    ])
    await expect(bytesOf(store.read(first.contents[0]!))).rejects.toThrow(`the chunk ${chunk} is in no pack`)
  })

  it('is mended by the next snapshot of the same data when the pack is missing, cut short or without footer', async () => {
    const good = Buffer.from(await backend.get(first.pack))
    const ruins = [undefined, good.subarray(0, 1000), Buffer.from(good).fill(0, good.length - 48)]
    for (const ruin of ruins) {
      await backend.delete(first.pack)
      if (ruin) await backend.put(first.pack, [ruin])
      const again = await writeSnapshot((await openStore(backend)).writer(), first.streams, ids[0])
      expect(again.digest).toBe(first.digest)
      expect(await (await openStore(backend)).check(first.manifest, { data: true })).toEqual([])
      expect(await readOutcome(first)).toBe('right')
    }
  })

  it('is mended by the next snapshot of the same data once `verify` or a restore has found it inside a frame', async () => {
    for (const find of [
      async () => void (await (await openStore(backend)).verify({ data: true })),
      async () => void (await (await openStore(backend)).check(first.manifest, { data: true })),
    ]) {
      const pack = (await names(backend, 'packs/')).find((name) => !name.endsWith(second.pack.slice(-64)))!
      const flipped = Buffer.from(await backend.get(pack))
      flipped[300]! ^= 4
      await replace(backend, pack, flipped)
      await find()
      expect(await names(backend, 'marks/')).toEqual([`marks/damaged-${pack.slice(-64)}`])
      await writeSnapshot((await openStore(backend)).writer(), first.streams, ids[0])
      expect(await (await openStore(backend)).check(first.manifest, { data: true })).toEqual([])
      expect(await readOutcome(first)).toBe('right')
      // Made of the same chunks, the new pack has the name of the damaged one and takes its place.
      expect(await names(backend, 'marks/')).toEqual([])
      expect((await (await openStore(backend)).verify({ data: true })).damages).toEqual([])
    }
  })

  it('is forgotten when the pack was brought back', async () => {
    const good = Buffer.from(await backend.get(first.pack))
    await replace(backend, first.pack, Buffer.from(good).fill(0, 300, 310))
    expect((await (await openStore(backend)).verify({ data: true })).damages).toHaveLength(1)
    await replace(backend, first.pack, good)
    expect((await (await openStore(backend)).verify({ data: true })).damages).toEqual([])
    expect(await names(backend, 'marks/')).toEqual([])
  })

  it('does not hit a snapshot whose chunks lie whole in another pack too', async () => {
    const good = Buffer.from(await backend.get(first.pack))
    await backend.delete(first.pack)
    await writeSnapshot((await openStore(backend)).writer(), [...first.streams, rows(900, 7)], ids[1])
    await replace(backend, first.pack, good.fill(0, 60, 70))
    const store = await openStore(backend)
    expect(await store.check(first.manifest, { data: true })).toEqual([])
    expect((await store.verify({ data: true })).damages).toMatchObject([{ object: first.pack, snapshots: [] }])
    expect(await readOutcome(first)).toBe('right')
  })
})

describe('damage to a manifest', () => {
  it('is found at every byte', async () => {
    const name = `manifests/${first.digest}`
    const good = await backend.get(name)
    const store = await openStore(backend)
    for (let i = 0; i < good.length; i++) {
      const flipped = Uint8Array.from(good)
      flipped[i]! ^= 1 << (i % 8)
      await replace(backend, name, flipped)
      await expect(store.manifest(first.digest)).rejects.toMatchObject({ code: 'damaged' })
      if (i % 17 !== 0) continue
      const report = await store.verify({ data: true })
      expect(report.damages.map(({ object }) => object)).toEqual([name])
    }
  })

  it('is found when it is cut short, empty or missing', async () => {
    const name = `manifests/${first.digest}`
    const good = await backend.get(name)
    const store = await openStore(backend)
    for (const length of [0, 1, good.length - 1]) {
      await replace(backend, name, good.subarray(0, length))
      await expect(store.manifest(first.digest)).rejects.toMatchObject({ code: 'damaged' })
    }
    await backend.delete(name)
    await expect(store.manifest(first.digest)).rejects.toMatchObject({ code: 'not-found' })
    expect(await store.manifest(second.digest)).toEqual(second.manifest)
  })
})

/** A pack with the right name whose one frame says it holds `plainBytes` bytes of one chunk. */
async function hostilePack(stored: Uint8Array, plainBytes: number, id: string): Promise<void> {
  const table = Buffer.alloc(36)
  table.writeUInt32LE(plainBytes)
  table.write(id, 4, 'hex')
  const sizes = { chunks: 1, plainBytes, storedBytes: stored.length }
  const head = encodeFrameHead({ method: frameMethods.zstd, ...sizes, table })
  const pack = Buffer.concat([packHead(), head, stored, encodeFooter(head, 1)])
  const name = hash('sha256', pack)
  await backend.put(`packs/${name.slice(0, 2)}/${name}`, [pack])
}

describe('a hostile store', () => {
  it('cannot make a reader unpack more than a frame says it holds', async () => {
    const { zstdCompressSync } = await import('node:zlib')
    const bomb = zstdCompressSync(Buffer.alloc(200_000_000))
    const id = hash('sha256', 'bomb')
    await hostilePack(bomb, 1_000_000, id)
    const store = await openStore(backend)
    const before = process.memoryUsage().rss
    await expect(bytesOf(store.read({ bytes: 1_000_000, sha256: id, chunks: [id] }))).rejects.toMatchObject({
      code: 'damaged',
    })
    expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000)
  })

  it('cannot pass other bytes for a chunk', async () => {
    const { zstdCompressSync } = await import('node:zlib')
    const id = hash('sha256', 'the real bytes')
    await hostilePack(zstdCompressSync(Buffer.alloc(1000)), 1000, id)
    const store = await openStore(backend)
    const content = { bytes: 1000, sha256: id, chunks: [id] }
    await expect(bytesOf(store.read(content))).rejects.toMatchObject({ code: 'damaged' })
    const manifest: Manifest = manifestOf([content])
    expect(await store.check(manifest, { data: true })).toHaveLength(1)
    expect((await store.verify({ data: true })).damages).toHaveLength(1)
  })

  it('cannot pass a shorter or longer content for the one the manifest means', async () => {
    const store = await openStore(backend)
    const content = first.contents[0]!
    await expect(bytesOf(store.read({ ...content, bytes: content.bytes + 1 }))).rejects.toMatchObject({
      code: 'damaged',
    })
  })

  it('is told from an honest one when a content is none', async () => {
    const store = await openStore(backend)
    for (const content of [
      { bytes: -1, sha256: 'a'.repeat(64), chunks: [] },
      { bytes: 1, sha256: 'a', chunks: [] },
      { bytes: 1, sha256: 'a'.repeat(64) },
      { bytes: 1, sha256: 'a'.repeat(64), chunks: ['../../../etc/passwd'] },
      { bytes: 1, sha256: 'a'.repeat(64), chunks: [], list: [] },
    ]) {
      await expect(bytesOf(store.read(content))).rejects.toMatchObject({ code: 'damaged' })
    }
  })

  it('cannot hide the end of a chunk list', async () => {
    const store = await openStore(backend)
    const writer = store.writer()
    const odd = await writer.write('rows', inParts(noise(33, 1)))
    await writer.finish(manifestOf([odd], ids[1]))
    await expect(bytesOf(store.read({ bytes: 1, sha256: odd.sha256, list: odd.chunks! }))).rejects.toMatchObject({
      code: 'damaged',
    })
  })
})
