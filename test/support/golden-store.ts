import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { LocalBackend } from '../../src/backends/local.ts'
import { storeVersion } from '../../src/domain/store-format.ts'
import { encodeTree, type TreeEntry } from '../../src/domain/tree.ts'
import { createStore } from '../../src/store/packed-store.ts'
import type { SnapshotWriter } from '../../src/store/store.ts'
import { createdAt, inParts, manifestOf, noise, rows } from './store-samples.ts'

/**
 * The data of the golden stores in test/samples/golden-store: one folder per format, made with the first git-env that wrote it
 * (`node test/support/golden-store.ts`) and never changed afterwards.
 */
export const goldenStoreId = '01j000000000000000000g0000'

export const goldenSnapshots = ['01j00000000000000000000g01', '01j00000000000000000000g02'] as const

/** By name: the bytes that a stream or file holds, and the profile that it was cut with. */
export const goldenBytes = {
  /** Many chunks, compressed. */
  rows: { profile: 'rows', bytes: rows(300_000, 11) },
  /** As it is, uncompressed. */
  noise: { profile: 'binary', bytes: noise(20_000, 12) },
  /** More chunks than a manifest names itself: a chunk list. */
  pages: { profile: 'pages', bytes: Buffer.alloc(40 * 32768 + 5) },
  empty: { profile: 'rows', bytes: Buffer.alloc(0) },
  small: { profile: 'rows', bytes: Buffer.from('small file\n') },
} as const

export const goldenStores = path.join(import.meta.dirname, '..', 'samples', 'golden-store')

/** Makes the golden store of today's format; gives the manifests' SHA-256. */
export async function makeGoldenStore(directory: string): Promise<readonly string[]> {
  await mkdir(directory, { recursive: true })
  const store = await createStore(new LocalBackend(directory), { id: goldenStoreId, createdAt })
  return [await writeGoldenSnapshot(store.writer(), 0), await writeGoldenSnapshot(store.writer(), 1)]
}

/** Writes the golden snapshot with this index; gives the manifest's SHA-256. */
export async function writeGoldenSnapshot(writer: SnapshotWriter, snapshot: 0 | 1): Promise<string> {
  const contents = []
  for (const { profile, bytes } of Object.values(goldenBytes))
    contents.push(await writer.write(profile, inParts(bytes)))
  const owner = { mode: 0o644, uid: 1000, gid: 1000, mtimeNs: 1_700_000_000_123_456_789n }
  const entries: TreeEntry[] = [
    { path: '', type: 'directory', ...owner, mode: 0o755 },
    { path: 'link', type: 'symlink', target: 'small', ...owner },
    { path: 'small', type: 'file', content: contents.at(-1)!, ...owner },
  ]
  const tree = await writer.write('listing', encodeTree(entries))
  const streams =
    snapshot === 0 ? contents : [...contents, await writer.write('rows', Buffer.from('only in the second\n'))]
  return await writer.finish(manifestOf(streams, goldenSnapshots[snapshot], tree))
}

if (process.argv[1] === import.meta.filename) {
  console.log(await makeGoldenStore(path.join(goldenStores, `format-${storeVersion}`)))
}
