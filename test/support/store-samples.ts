import type { Content } from '../../src/domain/content.ts'
import type { Manifest } from '../../src/domain/manifest.ts'
import type { SnapshotWriter } from '../../src/store/store.ts'

export const storeId = '01j00000000000000000000000'
export const createdAt = '2026-01-02T03:04:05.000Z'

/** The same bytes for the same seed, as good as random to a compressor (xorshift32). */
export function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  let state = (seed * 2654435761 + 1) | 0
  for (let i = 0; i < length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[i] = state >>> 24
  }
  return bytes
}

/** Lines like those of a dump, `length` bytes of them. */
export function rows(length: number, seed = 1): Buffer {
  const random = noise(length, seed)
  const lines: string[] = []
  for (let size = 0, i = 0; size < length; i++) {
    const line = `INSERT INTO item VALUES (${i},'name ${random.toString('hex', i % 1000, (i % 1000) + 6)}',${random.readUInt32LE(i % (length > 8 ? Math.min(length, 9000) - 8 : 1))});\n`
    lines.push(line)
    size += line.length
  }
  return Buffer.from(lines.join('')).subarray(0, length)
}

/** Bytes in parts of this length, as a driver gives them. */
export async function* inParts(bytes: Uint8Array, length = 65536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}

export async function bytesOf(parts: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const part of parts) all.push(Uint8Array.from(part))
  return Buffer.concat(all)
}

/** A manifest of one service whose streams have these contents. `id` is a full ULID. */
export function manifestOf(contents: readonly Content[], id = '01j00000000000000000000001', tree?: Content): Manifest {
  const streams = contents.map((content, i) => ({
    name: `s${String(i).padStart(4, '0')}`,
    kind: 'bytes' as const,
    content,
  }))
  return {
    version: 1,
    id,
    environment: 'main',
    message: 'before upgrade',
    trigger: 'manual',
    createdAt,
    expiresAt: '2026-01-16T03:04:05.000Z',
    partial: false,
    code: { commit: 'c'.repeat(40), tree: 'd'.repeat(40) },
    services: [
      {
        name: 'db',
        kind: 'service',
        type: 'sqlite',
        presence: 'present',
        level: 'frozen',
        live: [],
        bytes: contents.reduce((sum, { bytes }) => sum + bytes, 0),
        files: 0,
        streams: [...streams, ...(tree ? [{ name: 'tree', kind: 'tree' as const, content: tree }] : [])],
        objects: [{ name: 'item', kind: 'table', rows: 3, digest: 'abc' }],
        versions: { sqlite: '3.45.1' },
        facts: { journal: 'wal', pages: 12, nested: { list: [1, null, true, 'x'] } },
      },
    ],
    consistency: { level: 'frozen', heldMicros: 3700, skewMicros: 0 },
    tool: { name: 'git-env', version: '0.1.0' },
  }
}

/** Writes these bytes as one snapshot; gives the manifest's digest and the contents. */
export async function writeSnapshot(
  writer: SnapshotWriter,
  streams: readonly Uint8Array[],
  id?: string,
): Promise<{ readonly digest: string; readonly manifest: Manifest; readonly contents: readonly Content[] }> {
  const contents: Content[] = []
  for (const bytes of streams) contents.push(await writer.write('rows', inParts(bytes)))
  const manifest = manifestOf(contents, id)
  return { digest: await writer.finish(manifest), manifest, contents }
}
