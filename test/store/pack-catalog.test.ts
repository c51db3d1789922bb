import { hash } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { FaultyBackend } from '../../src/backends/faulty.ts'
import { MemoryBackend } from '../../src/backends/memory.ts'
import { decodeIndexObject, encodeIndexObject, type IndexSection } from '../../src/domain/index-object.ts'
import { createStore, openStore } from '../../src/store/packed-store.ts'
import { bytesOf, createdAt, noise, rows, storeId, writeSnapshot } from '../support/store-samples.ts'

let backend: MemoryBackend
const streams = [rows(300_000), noise(200_000, 3)]
const more = [rows(250_000, 4)]
let first: Awaited<ReturnType<typeof writeSnapshot>>
let second: Awaited<ReturnType<typeof writeSnapshot>>

beforeEach(async () => {
  backend = new MemoryBackend()
  const store = await createStore(backend, { id: storeId, createdAt })
  first = await writeSnapshot(store.writer(), streams, '01j00000000000000000000001')
  second = await writeSnapshot(store.writer(), more, '01j00000000000000000000002')
})

async function names(prefix: string): Promise<readonly string[]> {
  const all: string[] = []
  for await (const { name } of backend.list(prefix)) all.push(name)
  return all.sort()
}

async function sections(): Promise<IndexSection[]> {
  const all: IndexSection[] = []
  for (const name of await names('index/')) all.push(...decodeIndexObject(await backend.get(name), name.slice(6)))
  return all.map((section) => ({ ...section, directory: Buffer.from(section.directory) }))
}

async function putIndex(given: readonly IndexSection[]): Promise<string> {
  const bytes = encodeIndexObject(given)
  await backend.put(`index/${hash('sha256', bytes)}`, [bytes])
  return `index/${hash('sha256', bytes)}`
}

async function dropIndex(): Promise<void> {
  for (const name of await names('index/')) await backend.delete(name)
}

/** Everything can be read, nothing is written twice, and the index is whole again afterwards. */
async function expectHealed(): Promise<void> {
  const store = await openStore(backend)
  for (const [i, content] of first.contents.entries()) {
    expect(Buffer.compare(await bytesOf(store.read(content)), streams[i]!)).toBe(0)
  }
  const writing = await openStore(backend)
  const writer = writing.writer()
  await writeSnapshot(writer, [...streams, ...more, rows(3000, 8)], '01j00000000000000000000003')
  expect(writer.added.plainBytes).toBe(3000)
  const after = await openStore(backend)
  expect((await after.verify({ data: true })).damages).toEqual([])
  for (const { manifest } of [first, second]) expect(await after.check(manifest, { data: true })).toEqual([])
}

describe('the pack index', () => {
  it('is read from index objects alone when they are whole: no pack is touched', async () => {
    const watched = new FaultyBackend(backend, [])
    const store = await openStore(watched)
    expect(await store.check(first.manifest, { data: false })).toEqual([])
    const gets = watched.calls.filter(({ verb, name }) => verb === 'get' && name.startsWith('packs/'))
    expect(gets).toHaveLength(1)
  })

  it('is rebuilt from the packs when it is lost', async () => {
    await dropIndex()
    await expectHealed()
    expect(await sections()).toHaveLength(3)
  })

  it('is rebuilt for the packs that it lacks, and only those are read', async () => {
    await backend.delete((await names('index/'))[0]!)
    const watched = new FaultyBackend(backend, [])
    await (await openStore(watched)).verify({ data: false })
    await expectHealed()
  })

  it('is rebuilt when every byte of it is wrong or it is cut short, and what was damaged is taken away', async () => {
    const good = await Promise.all(
      (await names('index/')).map(async (name) => [name, await backend.get(name)] as const),
    )
    for (const spoil of [
      (bytes: Uint8Array) => Uint8Array.from(bytes, (byte) => byte ^ 255),
      (bytes: Uint8Array) => bytes.subarray(0, bytes.length / 2),
      () => new Uint8Array(0),
    ]) {
      await dropIndex()
      for (const [name, bytes] of good) await backend.put(name, [spoil(bytes)])
      const reported = (await (await openStore(backend)).verify({ data: false })).damages
      expect(reported.map(({ object }) => object)).toEqual(good.map(([name]) => name).sort())
      expect(reported.flatMap(({ snapshots }) => snapshots)).toEqual([])
      const store = await openStore(backend)
      const fresh = rows(5000, good.length + spoil.length)
      await writeSnapshot(store.writer(), [...streams, fresh], '01j00000000000000000000004')
      expect((await (await openStore(backend)).verify({ data: true })).damages).toEqual([])
    }
  })

  it('may name packs twice', async () => {
    await putIndex(await sections())
    await expectHealed()
  })

  it('is not believed when it says of a pack what the pack does not', async () => {
    const [one, two] = (await sections()) as [IndexSection, IndexSection]
    await dropIndex()
    // Each pack is said to hold what the other holds.
    await putIndex([
      { pack: one.pack, packBytes: one.packBytes, directory: two.directory },
      { pack: two.pack, packBytes: two.packBytes, directory: one.directory },
    ])
    await expectHealed()
  })

  it('is not believed when it moves chunks about inside their pack', async () => {
    const lying = (await sections()).map((section) => {
      const directory = Buffer.from(section.directory)
      const [a, b] = [directory.subarray(20, 52), Buffer.from(directory.subarray(56, 88))]
      directory.set(a, 56)
      directory.set(b, 20)
      return { ...section, directory }
    })
    await dropIndex()
    const object = await putIndex(lying)
    const store = await openStore(backend)
    expect(await store.check(first.manifest, { data: true })).toEqual([])
    expect((await (await openStore(backend)).verify({ data: false })).damages).toMatchObject([
      { object, snapshots: [] },
    ])
    await expectHealed()
  })

  it('is not believed when it contradicts itself', async () => {
    const [one, two] = (await sections()) as [IndexSection, IndexSection]
    await putIndex([{ ...one, directory: two.directory, packBytes: one.packBytes }])
    await putIndex([{ ...two, packBytes: two.packBytes - 7 }])
    await expectHealed()
  })

  it('may name packs that are gone, which hits nobody who does not need them', async () => {
    const known = await sections()
    const [one] = known as [IndexSection]
    await putIndex([{ ...one, pack: 'ab'.repeat(32) }])
    const store = await openStore(backend)
    expect((await store.verify({ data: true })).damages).toEqual([])
    await expectHealed()
  })

  it('stays few objects however many snapshots are made', async () => {
    const store = await openStore(backend)
    for (let i = 0; i < 40; i++) {
      const id = `01j000000000000000000001${String(i).padStart(2, '0')}`
      await writeSnapshot(store.writer(), [rows(1000, 100 + i)], id)
    }
    expect((await names('index/')).length).toBeLessThanOrEqual(17)
    expect(await sections()).toHaveLength(42)
    await expectHealed()
  })

  it('is not changed by reading', async () => {
    await dropIndex()
    const store = await openStore(backend)
    await bytesOf(store.read(first.contents[0]!))
    await store.verify({ data: true })
    expect(await names('index/')).toEqual([])
  })
})
