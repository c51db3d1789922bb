import { hash } from 'node:crypto'
import type { ChunkProfile, Content, ContentSink, ContentSource } from '../../src/domain/content.ts'
import { EnvError } from '../../src/domain/errors.ts'

/** A sink and source in memory: each content is one chunk, named by its SHA-256. */
export class MemoryContent implements ContentSink, ContentSource {
  readonly chunks = new Map<string, Uint8Array>()
  /** Every content that was written, in order: what a driver did read. */
  readonly written: { readonly profile: ChunkProfile; readonly content: Content }[] = []

  async write(profile: ChunkProfile, bytes: AsyncIterable<Uint8Array> | Uint8Array): Promise<Content> {
    const parts: Uint8Array[] = []
    if (bytes instanceof Uint8Array) parts.push(Uint8Array.from(bytes))
    else for await (const part of bytes) parts.push(Uint8Array.from(part))
    const whole = Buffer.concat(parts)
    const sha256 = hash('sha256', whole)
    if (whole.length > 0) this.chunks.set(sha256, whole)
    const content: Content = { bytes: whole.length, sha256, chunks: whole.length > 0 ? [sha256] : [] }
    this.written.push({ profile, content })
    return content
  }

  /** For another process. */
  asText(): Record<string, string> {
    return Object.fromEntries([...this.chunks].map(([id, bytes]) => [id, Buffer.from(bytes).toString('base64')]))
  }

  static of(chunks: Readonly<Record<string, string>>): MemoryContent {
    const content = new MemoryContent()
    for (const [id, text] of Object.entries(chunks)) content.chunks.set(id, Buffer.from(text, 'base64'))
    return content
  }

  async holds(content: Content): Promise<boolean> {
    return (content.chunks ?? []).every((id) => this.chunks.has(id))
  }

  async *read(content: Content): AsyncGenerator<Uint8Array> {
    for (const id of content.chunks ?? []) {
      const chunk = this.chunks.get(id)
      if (!chunk) throw new EnvError('damaged', `chunk ${id} is missing`)
      for (let offset = 0; offset < chunk.length; offset += 65536) yield chunk.subarray(offset, offset + 65536)
    }
  }
}

/** All that an iterable gives. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
