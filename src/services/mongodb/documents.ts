import { createHash } from 'node:crypto'
import { pipeline } from 'node:stream/promises'
import type { Content, ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import { Program } from '../connection/program.ts'
import type { Server } from './server.ts'

export type Stored = { readonly content: Content; readonly rows: number }

type Progress = (bytes: number) => void

/** Stores a collection's documents: BSON, one after the other in their natural order, as mongodump has them in a file. */
export async function storeDocuments(
  server: Server,
  collection: string,
  { sink, signal, progress }: { readonly sink: ContentSink; readonly signal: AbortSignal; readonly progress: Progress },
): Promise<Stored> {
  const count = { rows: 0 }
  const content = await sink.write('rows', counted(dumped(server, collection, signal), count, progress))
  return { content, rows: count.rows }
}

/** The same, kept nowhere. */
export async function digestDocuments(
  server: Server,
  collection: string,
  signal: AbortSignal,
): Promise<{ readonly sha256: string; readonly rows: number }> {
  const count = { rows: 0 }
  const digest = createHash('sha256')
  for await (const part of counted(dumped(server, collection, signal), count, () => {})) digest.update(part)
  return { sha256: digest.digest('hex'), rows: count.rows }
}

/** Into a collection that is there and empty, in the order given. */
export async function loadDocuments(
  server: Server,
  collection: string,
  documents: AsyncIterable<Uint8Array>,
  options: { readonly isValidated: boolean; readonly signal: AbortSignal; readonly progress: Progress },
): Promise<void> {
  const words = ['mongorestore', `--uri=${server.uri}`, `--collection=${collection}`, '--maintainInsertionOrder']
  // What was valid once, or got in before there was a rule, comes back.
  if (options.isValidated) words.push('--bypassDocumentValidation')
  const program = await Program.start([...words, '--noIndexRestore', '--dir=-'], { ...server, signal: options.signal })
  try {
    const [fed, ended] = await Promise.allSettled([
      pipeline(inputOf(server, documents, options.progress), program.input),
      program.success(),
    ])
    if (fed.status === 'rejected' && fed.reason instanceof EnvError) throw fed.reason
    for (const outcome of [ended, fed]) if (outcome.status === 'rejected') throw outcome.reason
  } finally {
    program.end()
  }
}

async function* inputOf(server: Server, documents: AsyncIterable<Uint8Array>, progress: Progress) {
  if (server.password !== undefined) yield `${server.password}\n`
  for await (const part of documents) {
    progress(part.length)
    // Whoever gave it may use its buffer again.
    yield Uint8Array.from(part)
  }
}

async function* dumped(server: Server, collection: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const words = ['mongodump', `--uri=${server.uri}`, `--collection=${collection}`, '--out=-']
  const program = await Program.start(words, { ...server, signal })
  try {
    program.input.end(server.password === undefined ? '' : `${server.password}\n`)
    yield* program.output()
  } finally {
    program.end()
  }
}

const fewestBytes = 5

/** Counts documents by their lengths; one that is cut short is an error. */
async function* counted(
  parts: AsyncIterable<Uint8Array>,
  count: { rows: number },
  progress: Progress,
): AsyncGenerator<Uint8Array> {
  let head = Buffer.alloc(0)
  let left = 0
  for await (const part of parts) {
    for (let at = 0; at < part.length; ) {
      const step = Math.min(left === 0 ? 4 - head.length : left, part.length - at)
      if (left > 0) left -= step
      else {
        head = Buffer.concat([head, part.subarray(at, at + step)])
        if (head.length === 4) {
          left = head.readInt32LE() - 4
          if (left < fewestBytes - 4) throw new EnvError('unavailable', 'mongodump gave something that is no BSON')
          head = Buffer.alloc(0)
          count.rows++
        }
      }
      at += step
    }
    progress(part.length)
    yield part
  }
  if (left > 0 || head.length > 0) throw new EnvError('unavailable', 'mongodump ended within a document')
}
