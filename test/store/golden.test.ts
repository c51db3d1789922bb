import { cp, readdir } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { LocalBackend } from '../../src/backends/local.ts'
import { decodeTree } from '../../src/domain/tree.ts'
import { openStore } from '../../src/store/packed-store.ts'
import {
  goldenBytes,
  goldenSnapshots,
  goldenStoreId,
  goldenStores,
  makeGoldenStore,
  writeGoldenSnapshot,
} from '../support/golden-store.ts'
import { bytesOf } from '../support/store-samples.ts'
import { temporaryDirectory } from '../support/temporary.ts'

/** The manifests' SHA-256 by format and snapshot. A new format adds a line; no line ever changes. */
const digests: Readonly<Record<string, readonly [string, string]>> = {
  'format-1': [
    '5526aba7b3267227989cc6ab4de8c5615b2e7393a30d8cfbc0f0ee33d420a862',
    'abffb50d42e6a32f084818a8d23957b7fb41a0226d142d8c1e47dab95912dc6d',
  ],
}

describe.each(Object.entries(digests))('the golden store of %s', (format, [first, second]) => {
  const open = async () => {
    const directory = await temporaryDirectory()
    await cp(path.join(goldenStores, format), directory, { recursive: true })
    return openStore(new LocalBackend(directory), { expectedId: goldenStoreId })
  }

  it('opens, and every byte of it is whole', async () => {
    const store = await open()
    expect(await store.manifests()).toEqual(new Set([first, second]))
    expect(await store.verify({ data: true })).toMatchObject({ damages: [], packs: 2, manifests: 2 })
  })

  it('gives the bytes that were put into it', async () => {
    const store = await open()
    for (const [i, digest] of [first, second].entries()) {
      const manifest = await store.manifest(digest)
      expect(manifest.id).toBe(goldenSnapshots[i])
      expect(await store.check(manifest, { data: true })).toEqual([])
      const { streams } = manifest.services[0]!
      for (const [n, { bytes }] of Object.values(goldenBytes).entries()) {
        expect(Buffer.compare(await bytesOf(store.read(streams[n]!.content)), bytes)).toBe(0)
      }
      const entries = []
      for await (const entry of decodeTree(store.read(streams.at(-1)!.content))) entries.push(entry)
      expect(entries.map(({ path: name, type }) => [name, type])).toEqual([
        ['', 'directory'],
        ['link', 'symlink'],
        ['small', 'file'],
      ])
      expect(Buffer.compare(await bytesOf(store.read(entries[2]!.content!)), goldenBytes.small.bytes)).toBe(0)
    }
  })

  it('already has all that the same data needs today', async () => {
    const store = await open()
    const writer = store.writer()
    expect(await writeGoldenSnapshot(writer, 1)).toBe(second)
    expect(writer.added).toEqual({ plainBytes: 0, storedBytes: 0, chunks: 0 })
  })
})

describe('the golden stores', () => {
  it('would be made again with the same manifests', async () => {
    const made = await makeGoldenStore(path.join(await temporaryDirectory(), 'new'))
    expect(made).toEqual(Object.values(digests).at(-1))
  })

  it('are all opened by these tests', async () => {
    expect(await readdir(goldenStores)).toEqual(Object.keys(digests))
  })
})
