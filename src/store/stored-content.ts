import type { Content } from '../domain/content.ts'
import { EnvError } from '../domain/errors.ts'
import { idBytes } from '../domain/pack.ts'
import { isDigest } from './object-names.ts'

/** Gives the bytes of the chunk with this id. */
export type ReadChunk = (id: string) => Promise<Uint8Array>

/** The ids of a content's chunks, read through its chunk list where it has one. Throws `damaged` when the content is none. */
export async function* chunkIds(content: Content, read: ReadChunk): AsyncGenerator<string> {
  checkContent(content)
  if (content.chunks) {
    yield* content.chunks
    return
  }
  let rest = Buffer.alloc(0)
  for (const id of content.list!) {
    const bytes = Buffer.concat([rest, await read(id)])
    const whole = bytes.length - (bytes.length % idBytes)
    for (let at = 0; at < whole; at += idBytes) yield bytes.toString('hex', at, at + idBytes)
    rest = Buffer.from(bytes.subarray(whole))
  }
  if (rest.length > 0) throw new EnvError('damaged', `the chunk list of the content ${content.sha256} is cut short`)
}

/** Listings come out of the store, whose bytes may be hostile: a content is looked at before it is used. */
function checkContent(content: Content): void {
  const { bytes, sha256, chunks, list } = content
  const ids = chunks ?? list
  const valid =
    Number.isSafeInteger(bytes) &&
    bytes >= 0 &&
    isDigest(sha256) &&
    Array.isArray(ids) &&
    (chunks === undefined) !== (list === undefined) &&
    ids.every(isDigest)
  if (!valid) throw new EnvError('damaged', `not a content: ${JSON.stringify(content).slice(0, 200)}`)
}
