import { EnvError } from '../../domain/errors.ts'
import type { Document } from './documents.ts'

/** A page of what a search found. `source` is cut out of the answer as it stands there, without reading it. */
export type Page = {
  readonly pitId: string | undefined
  /** Of all that match. */
  readonly total: number
  readonly isWhole: boolean
  readonly hits: readonly Hit[]
}

export type Hit = Document & { readonly sort: readonly unknown[]; readonly hasSource: boolean }

/** Takes the answer of a search apart. */
export function readPage(answer: Buffer): Page {
  const top = members(answer, skipSpace(answer, 0))
  const outer = members(answer, top.get('hits')?.start ?? broken())
  const list = outer.get('hits') ?? broken()
  const total = value(answer, outer.get('total')) as { value?: number } | number | undefined
  const shards = value(answer, top.get('_shards')) as { failed?: number } | undefined
  return {
    pitId: value(answer, top.get('pit_id')) as string | undefined,
    total: (typeof total === 'object' ? total.value : total) ?? -1,
    isWhole: value(answer, top.get('timed_out')) === false && (shards?.failed ?? 0) === 0,
    hits: elements(answer, list.start).map((start) => hitAt(answer, start)),
  }
}

function hitAt(answer: Buffer, start: number): Hit {
  const hit = members(answer, start)
  const source = hit.get('_source')
  return {
    id: (value(answer, hit.get('_id')) as string | undefined) ?? broken(),
    routing: value(answer, hit.get('_routing')) as string | undefined,
    sort: (value(answer, hit.get('sort')) as unknown[] | undefined) ?? [],
    hasSource: source !== undefined,
    // A copy: the page itself need not stay in memory.
    source: source ? Uint8Array.from(answer.subarray(source.start, source.end)) : new Uint8Array(),
  }
}

type Span = { readonly start: number; readonly end: number }

function broken(): never {
  throw new EnvError('unavailable', 'the answer of a search is not what it should be', {
    hint: 'is there a proxy in between that changes answers?',
  })
}

function value(bytes: Buffer, span: Span | undefined): unknown {
  return span && JSON.parse(bytes.toString('utf8', span.start, span.end))
}

const [quote, backslash, comma, colon, openBrace, closeBrace, openBracket, closeBracket] = Buffer.from('"\\,:{}[]')

function members(bytes: Buffer, start: number): Map<string, Span> {
  if (bytes[start] !== openBrace) broken()
  const found = new Map<string, Span>()
  let position = skipSpace(bytes, start + 1)
  while (bytes[position] !== closeBrace) {
    const keyEnd = skipValue(bytes, position)
    const key = JSON.parse(bytes.toString('utf8', position, keyEnd)) as string
    position = skipSpace(bytes, keyEnd)
    if (bytes[position] !== colon) broken()
    const valueStart = skipSpace(bytes, position + 1)
    const end = skipValue(bytes, valueStart)
    found.set(key, { start: valueStart, end })
    position = afterComma(bytes, end)
  }
  return found
}

function elements(bytes: Buffer, start: number): number[] {
  if (bytes[start] !== openBracket) broken()
  const found: number[] = []
  let position = skipSpace(bytes, start + 1)
  while (bytes[position] !== closeBracket) {
    found.push(position)
    position = afterComma(bytes, skipValue(bytes, position))
  }
  return found
}

function afterComma(bytes: Buffer, end: number): number {
  const position = skipSpace(bytes, end)
  return bytes[position] === comma ? skipSpace(bytes, position + 1) : position
}

function skipSpace(bytes: Buffer, start: number): number {
  let position = start
  while (bytes[position]! <= 32) position++
  return position
}

/** Where the value that begins here has ended. */
function skipValue(bytes: Buffer, start: number): number {
  let depth = 0
  let position = start
  do {
    if (position >= bytes.length) broken()
    const byte = bytes[position]!
    if (byte === quote) {
      position = stringEnd(bytes, position)
      continue
    }
    if (byte === openBrace || byte === openBracket) depth++
    else if (byte === closeBrace || byte === closeBracket) depth--
    else if (depth === 0) return plainEnd(bytes, position)
    position++
  } while (depth > 0)
  return position
}

function stringEnd(bytes: Buffer, start: number): number {
  let position = start + 1
  while (bytes[position] !== quote) {
    if (position >= bytes.length) broken()
    position += bytes[position] === backslash ? 2 : 1
  }
  return position + 1
}

/** Of a number, true, false or null. */
function plainEnd(bytes: Buffer, start: number): number {
  let position = start
  while (position < bytes.length && /[-+.\w]/.test(String.fromCharCode(bytes[position]!))) position++
  return position === start ? broken() : position
}
