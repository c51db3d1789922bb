import { canonicalJson, type Json } from './canonical-json.ts'
import type { Content } from './content.ts'
import { EnvError } from './errors.ts'

/**
 * The listing of a folder, which is the content of a `tree` stream: one canonical JSON object a line, ordered by {@link compareTreePaths},
 * the folder itself first with the empty path.
 *
 * File names are bytes, not text. In memory a path is a *byte string*: each character is one byte (latin1). `displayPath` makes it text.
 * In the listing a path that is valid UTF-8 is `path`, any other is `pathBytes` in base64 (likewise `target` and `link`).
 */
export type TreeEntry = {
  readonly path: string
  readonly type: 'file' | 'directory' | 'symlink'
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Nanoseconds since 1970; may be negative. */
  readonly mtimeNs: bigint
  /** Of a file that is not a link to an earlier one. */
  readonly content?: Content
  /** The file has holes: written again with holes where it is zero. */
  readonly sparse?: true
  /** Of a symlink: what it points to, as a byte string. */
  readonly target?: string
  /** Of a file that is a hard link: the path of the first of its names in this listing. */
  readonly link?: string
}

/** Order of a listing: a folder comes right before all that it holds. */
export function compareTreePaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return (x === 0x2f ? -1 : x) - (y === 0x2f ? -1 : y)
  }
  return a.length - b.length
}

/** A byte string as text for people; what is not UTF-8 shows as replacement characters. */
export function displayPath(path: string): string {
  return Buffer.from(path, 'latin1').toString('utf8')
}

/** Text (from a config or a command line) as a byte string. */
export function bytePath(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** Whether `path` is `folder` or lies in it. */
export function isWithin(folder: string, path: string): boolean {
  return folder === '' || path === folder || path.startsWith(`${folder}/`)
}

function textOrBytes(name: string, path: string): Record<string, string> {
  const bytes = Buffer.from(path, 'latin1')
  const text = bytes.toString('utf8')
  return Buffer.from(text, 'utf8').equals(bytes) ? { [name]: text } : { [`${name}Bytes`]: bytes.toString('base64') }
}

export function encodeTreeEntry(entry: TreeEntry): string {
  const json: Record<string, Json> = {
    ...textOrBytes('path', entry.path),
    type: entry.type,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtimeNs: String(entry.mtimeNs),
  }
  if (entry.content) json['content'] = entry.content
  if (entry.sparse) json['sparse'] = true
  if (entry.target !== undefined) Object.assign(json, textOrBytes('target', entry.target))
  if (entry.link !== undefined) Object.assign(json, textOrBytes('link', entry.link))
  return `${canonicalJson(json)}\n`
}

/** Refuses what could write outside the folder: absolute paths, empty, `.` and `..` segments, NUL; and types it does not know. */
export function decodeTreeEntry(line: string): TreeEntry {
  let json: Record<string, unknown>
  try {
    json = JSON.parse(line) as Record<string, unknown>
  } catch (cause) {
    throw new EnvError('damaged', 'a folder listing holds a line that is not JSON', { cause })
  }
  const path = readPath(json, 'path')
  const type = json['type']
  if (path === undefined || !isSafePath(path)) throw damagedListing(json['path'])
  if (type !== 'file' && type !== 'directory' && type !== 'symlink') throw damagedListing(json['path'])
  const link = readPath(json, 'link')
  if (link !== undefined && !isSafePath(link)) throw damagedListing(json['path'])
  const target = readPath(json, 'target')
  const entry: TreeEntry = {
    path,
    type,
    mode: Number(json['mode']) & 0o7777,
    uid: Number(json['uid']),
    gid: Number(json['gid']),
    mtimeNs: BigInt(json['mtimeNs'] as string),
    ...(json['content'] ? { content: json['content'] as Content } : {}),
    ...(json['sparse'] ? { sparse: true as const } : {}),
    ...(target === undefined ? {} : { target }),
    ...(link === undefined ? {} : { link }),
  }
  if (type === 'symlink' ? target === undefined : type === 'file' && !entry.content === (link === undefined)) {
    throw damagedListing(json['path'])
  }
  return entry
}

function readPath(json: Record<string, unknown>, name: string): string | undefined {
  if (typeof json[name] === 'string') return bytePath(json[name])
  const bytes = json[`${name}Bytes`]
  return typeof bytes === 'string' ? Buffer.from(bytes, 'base64').toString('latin1') : undefined
}

function isSafePath(path: string): boolean {
  if (path === '') return true
  return (
    !path.includes('\0') && path.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..')
  )
}

function damagedListing(path: unknown): EnvError {
  return new EnvError('damaged', `a folder listing holds an entry that is not valid: ${JSON.stringify(path)}`)
}

/** The entries of a stored listing, in order. Throws `damaged` when they are not in order. */
export async function* decodeTree(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<TreeEntry> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let rest = ''
  let last: string | undefined
  for await (const part of bytes) {
    const lines = (rest + decoder.decode(part, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const entry = decodeTreeEntry(line)
      if (last !== undefined && compareTreePaths(last, entry.path) >= 0) throw damagedListing(entry.path)
      last = entry.path
      yield entry
    }
  }
  if (rest !== '') throw new EnvError('damaged', 'a folder listing ends in the middle of a line')
}

/** The listing's bytes, in parts of about 64 KiB. Entries must come in order. */
export async function* encodeTree(entries: AsyncIterable<TreeEntry> | Iterable<TreeEntry>): AsyncGenerator<Uint8Array> {
  let text = ''
  for await (const entry of entries) {
    text += encodeTreeEntry(entry)
    if (text.length >= 65536) {
      yield Buffer.from(text, 'utf8')
      text = ''
    }
  }
  if (text !== '') yield Buffer.from(text, 'utf8')
}
