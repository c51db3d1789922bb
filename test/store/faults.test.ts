import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { type FaultRule, FaultyBackend, type Verb } from '../../src/backends/faulty.ts'
import { LocalBackend } from '../../src/backends/local.ts'
import { MemoryBackend } from '../../src/backends/memory.ts'
import type { StorageBackend } from '../../src/backends/storage-backend.ts'
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

const oldStreams = [rows(200_000), noise(100_000, 1)]
/** Long enough for two packs. */
const newStreams = [rows(200_000), noise(18_000_000, 2), rows(100_000, 3)]
const newId = '01j00000000000000000000002'

let backend: MemoryBackend
let old: Awaited<ReturnType<typeof writeSnapshot>>

beforeEach(async () => {
  backend = new MemoryBackend()
  const store = await createStore(backend, { id: storeId, createdAt })
  old = await writeSnapshot(store.writer(), oldStreams)
})

async function expectWhole(snapshot: Awaited<ReturnType<typeof writeSnapshot>>, streams: readonly Buffer[]) {
  const store = await openStore(backend)
  expect(await store.check(await store.manifest(snapshot.digest), { data: true })).toEqual([])
  for (const [i, content] of snapshot.contents.entries()) {
    expect(Buffer.compare(await bytesOf(store.read(content)), streams[i]!)).toBe(0)
  }
}

async function copyOf(from: StorageBackend): Promise<MemoryBackend> {
  const copy = new MemoryBackend()
  for await (const { name } of from.list('')) await copy.put(name, [await from.get(name)])
  return copy
}

/** The calls that writing the new snapshot makes when nothing goes wrong. */
async function callsOfWriting(): Promise<Readonly<Record<Verb, number>>> {
  const watched = new FaultyBackend(await copyOf(backend), [])
  await writeSnapshot((await openStore(watched)).writer(), newStreams, newId)
  const counts: Record<Verb, number> = { put: 0, get: 0, stat: 0, list: 0, delete: 0, now: 0 }
  for (const { verb } of watched.calls) counts[verb]++
  return counts
}

describe('a writer', () => {
  it.each(['fail', 'fail-late'] as const)(
    'that meets "%s" at any call leaves older snapshots whole, the new one absent or whole, and succeeds the second time',
    async (kind) => {
      const start = backend
      const counts = await callsOfWriting()
      expect(counts.put).toBe(4)
      for (const verb of ['put', 'get', 'stat', 'list'] as const) {
        const step = verb === 'get' ? 7 : 1
        for (let call = 1; call <= counts[verb]; call += step) {
          backend = await copyOf(start)
          const rule: FaultRule = { verb, call, fault: { kind } }
          const attempt = async () =>
            writeSnapshot((await openStore(new FaultyBackend(backend, [rule]))).writer(), newStreams, newId)
          await expect(attempt()).rejects.toThrow('the store does not answer')
          await expectWhole(old, oldStreams)
          const after = await openStore(backend)
          for (const digest of await after.manifests()) {
            expect(await after.check(await after.manifest(digest), { data: true })).toEqual([])
          }
          expect((await after.verify({ data: false })).damages).toEqual([])
          await writeSnapshot((await openStore(backend)).writer(), newStreams, newId)
          expect((await (await openStore(backend)).verify({ data: false })).damages).toEqual([])
        }
      }
      await expectWhole(await writeSnapshot((await openStore(backend)).writer(), newStreams, newId), newStreams)
    },
    60_000,
  )

  it('goes on where one that was cut short had come to', async () => {
    const rule: FaultRule = { verb: 'put', name: /^packs/, call: 2, fault: { kind: 'fail' } }
    const cut = await openStore(new FaultyBackend(backend, [rule]))
    await expect(writeSnapshot(cut.writer(), newStreams, newId)).rejects.toThrow('the store does not answer')
    const writer = (await openStore(backend)).writer()
    await expectWhole(await writeSnapshot(writer, newStreams, newId), newStreams)
    expect(writer.added.plainBytes).toBeLessThan(3_000_000)
  })

  it.each(['flip', 'short'] as const)(
    'notices that the store kept other bytes than it was given (%s)',
    async (kind) => {
      for (const name of [/^packs/, /^manifests/]) {
        const store = await openStore(new FaultyBackend(backend, [{ verb: 'put', name, fault: { kind } }]))
        await expect(writeSnapshot(store.writer(), newStreams, newId)).rejects.toMatchObject({
          code: 'unavailable',
          message: expect.stringMatching(/^(packs|manifests)\/.* reads back other than it was written$/),
        })
        const after = await openStore(backend)
        expect(await after.manifests()).toEqual(new Set([old.digest]))
        expect((await after.verify({ data: true })).damages).toEqual([])
      }
      await expectWhole(await writeSnapshot((await openStore(backend)).writer(), newStreams, newId), newStreams)
    },
  )

  it('is not harmed by an index object that the store spoiled', async () => {
    const rule: FaultRule = { verb: 'put', name: /^index/, fault: { kind: 'flip' } }
    const store = await openStore(new FaultyBackend(backend, [rule]))
    await expectWhole(await writeSnapshot(store.writer(), newStreams, newId), newStreams)
  })

  it('writes again what a power loss took, when the disk had only said that it was stored', async () => {
    for (const name of [/^packs/, /^index/, /^manifests/]) {
      const lossy = new FaultyBackend(backend, [{ verb: 'put', name, fault: { kind: 'unsynced' } }])
      await writeSnapshot((await openStore(lossy)).writer(), newStreams, newId)
      await lossy.losePower()
      await expectWhole(old, oldStreams)
      await expectWhole(await writeSnapshot((await openStore(backend)).writer(), newStreams, newId), newStreams)
      for await (const { name: object } of backend.list('')) {
        if (object !== 'format') await backend.delete(object)
      }
      old = await writeSnapshot((await openStore(backend)).writer(), oldStreams)
    }
  })

  it('fails rather than rely on a pack that was taken away while it wrote, and succeeds the second time', async () => {
    const store = await openStore(backend)
    const writer = store.writer()
    const contents = [await writer.write('rows', inParts(oldStreams[0]!))]
    for await (const { name } of backend.list('packs/')) await backend.delete(name)
    await expect(writer.finish(manifestOf(contents, newId))).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/^packs\/.* was taken away while the snapshot was being made$/),
      hint: 'run it again: what is missing will be written anew',
    })
    const again = await writeSnapshot(store.writer(), oldStreams)
    await expectWhole(again, oldStreams)
  })

  it('waits for a slow store without holding more than a few packs in memory', async () => {
    const slow = new FaultyBackend(backend, [{ verb: 'put', fault: { kind: 'sleep', ms: 100 } }])
    const writer = (await openStore(slow)).writer()
    const before = process.memoryUsage().arrayBuffers
    let most = 0
    const source = async function* () {
      for (let i = 0; i < 100; i++) {
        yield noise(1_000_000, 100 + (i % 3)).subarray(i * 100)
        most = Math.max(most, process.memoryUsage().arrayBuffers - before)
      }
    }
    await writer.finish(manifestOf([await writer.write('binary', source())], newId))
    // The memory backend itself keeps what was put.
    expect(most).toBeLessThan(120_000_000 + 80_000_000)
  })
})

describe('a reader', () => {
  it('gives no wrong byte when the store lies about one read, and says what is damaged', async () => {
    const store = await openStore(
      new FaultyBackend(backend, [{ verb: 'get', name: /^packs/, fault: { kind: 'flip' } }]),
    )
    await expect(bytesOf(store.read(old.contents[0]!))).rejects.toMatchObject({ code: 'damaged' })
  })

  it('passes on that the store does not answer: that is no damage', async () => {
    for (const verb of ['get', 'list', 'stat'] as const) {
      const rules: FaultRule[] = [{ verb, name: /^(packs|index|manifests)/, fault: { kind: 'fail' } }]
      const store = await openStore(new FaultyBackend(backend, rules))
      await expect(store.verify({ data: true })).rejects.toMatchObject({ code: 'unavailable' })
      await expect(store.check(old.manifest, { data: true })).rejects.toMatchObject({ code: 'unavailable' })
    }
  })

  it('stops when it is cancelled', async () => {
    const store = await openStore(backend)
    const signal = AbortSignal.abort(new Error('cancelled'))
    await expect(store.verify({ data: true, signal })).rejects.toThrow('cancelled')
    await expect(store.check(old.manifest, { data: true, signal })).rejects.toThrow('cancelled')
  })
})

describe('on a real disk', () => {
  it('a store that was copied, or moved, is the same store', async () => {
    const { cp } = await import('node:fs/promises')
    const from = await temporaryDirectory()
    const store = await createStore(new LocalBackend(from), { id: storeId, createdAt })
    const snapshot = await writeSnapshot(store.writer(), oldStreams)
    const to = await temporaryDirectory()
    await cp(from, to, { recursive: true })
    const copy = await openStore(new LocalBackend(to), { expectedId: storeId })
    expect(await copy.check(await copy.manifest(snapshot.digest), { data: true })).toEqual([])
  })

  it('a writer that is killed after any step leaves older snapshots whole, and the next goes on where it was', async () => {
    const directory = await temporaryDirectory()
    const script = path.join(import.meta.dirname, '..', 'support', 'store-writer-process.ts')
    const created = await createStore(new LocalBackend(directory), { id: storeId, createdAt })
    const older = await writeSnapshot(created.writer(), oldStreams)
    const seen: string[] = []
    for (const killAfter of ['1', '1', '1', '1', 'never']) {
      const before = await created.usage()
      // Each is killed after its first durable step, and begins with what those before it left.
      const { signal, status } = spawnSync(process.execPath, [script, directory, killAfter])
      const store = await openStore(new LocalBackend(directory))
      expect((await store.verify({ data: true })).damages).toEqual([])
      expect(await store.check(await store.manifest(older.digest), { data: true })).toEqual([])
      const after = await store.usage()
      seen.push(
        `${signal ?? status}: ${after.packs - before.packs} packs, ${after.manifests - before.manifests} manifests`,
      )
    }
    expect(seen).toEqual([
      'SIGKILL: 1 packs, 0 manifests',
      'SIGKILL: 1 packs, 0 manifests',
      'SIGKILL: 0 packs, 0 manifests',
      'SIGKILL: 0 packs, 1 manifests',
      '0: 0 packs, 0 manifests',
    ])
  })
})
