import { canonicalJson } from '../../domain/canonical-json.ts'
import { EnvError } from '../../domain/errors.ts'

/** One document: `source` is its bytes as the server gave them. */
export type Document = { readonly id: string; readonly routing: string | undefined; readonly source: Uint8Array }

const newline = Buffer.from('\n')

/** The order of a stream: by id, then by routing (one id may be in several shards). */
export function compareDocuments(a: Document, b: Document): number {
  if (a.id !== b.id) return a.id < b.id ? -1 : 1
  const [left, right] = [a.routing ?? '', b.routing ?? '']
  return left < right ? -1 : left > right ? 1 : 0
}

/** A line that says how many bytes follow, the bytes, a newline. */
export function encodeDocument({ id, routing, source }: Document): Uint8Array {
  return Buffer.concat([Buffer.from(`${canonicalJson({ bytes: source.length, id, routing })}\n`), source, newline])
}

type Head = { readonly bytes: number; readonly id: string; readonly routing?: string }

/** Reads what `encodeDocument` wrote, however it was cut into parts. */
export async function* decodeDocuments(parts: AsyncIterable<Uint8Array>): AsyncGenerator<Document> {
  let waiting: Buffer[] = []
  let length = 0
  let needed = 1
  for await (const part of parts) {
    // A producer may use one buffer for all its parts.
    waiting.push(Buffer.from(part))
    length += part.length
    if (length < needed) continue
    let bytes = Buffer.concat(waiting)
    for (;;) {
      const one = cut(bytes)
      needed = one.needed
      if (!one.document) break
      yield one.document
      bytes = bytes.subarray(one.end)
    }
    waiting = [bytes]
    length = bytes.length
  }
  if (length > 0) throw new EnvError('damaged', 'a stream of documents ends in the middle of one')
}

type Cut = { readonly document?: Document; readonly end: number; readonly needed: number }

function cut(bytes: Buffer): Cut {
  const headEnd = bytes.indexOf(10)
  if (headEnd < 0) return { end: 0, needed: bytes.length + 1 }
  const head = JSON.parse(bytes.toString('utf8', 0, headEnd)) as Head
  const end = headEnd + 1 + head.bytes + 1
  if (bytes.length < end) return { end: 0, needed: end }
  const source = bytes.subarray(headEnd + 1, end - 1)
  return { document: { id: head.id, routing: head.routing, source }, end, needed: 1 }
}
