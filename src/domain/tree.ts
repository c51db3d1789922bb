import { isUtf8 } from 'node:buffer'
import { canonicalJson } from './canonical-json.ts'
import type { Content } from './content.ts'
import { EnvError } from './errors.ts'

/**
 * The listing of a folder, which is the content of a `tree` stream: one canonical JSON object a line, ordered by {@link compareTreePaths},
 * the folder itself first with the empty path; where something else stood in the folder's place, that alone with the empty path.
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

/** The folder that holds a path; that of a name at the top is the empty path. */
export function parentPath(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

/** A byte string as one member of a JSON object: as text where it is UTF-8, else in base64. */
function pathMember(name: string, path: string): string {
  // Plain ASCII is by far the most common, and is its own UTF-8.
  if (/^[ -~]*$/.test(path)) return `"${name}":${JSON.stringify(path)}`
  const bytes = Buffer.from(path, 'latin1')
  return isUtf8(bytes)
    ? `"${name}":${JSON.stringify(bytes.toString('utf8'))}`
    : `"${name}Bytes":"${bytes.toString('base64')}"`
}

/** The entry's line. Canonical JSON: the members are in code-unit order. */
export function encodeTreeEntry(entry: TreeEntry): string {
  const { path, type, mode, uid, gid, mtimeNs, content, sparse, target, link } = entry
  let line = '{'
  if (content) line += `"content":${canonicalJson(content)},`
  line += `"gid":${gid},`
  if (link !== undefined) line += `${pathMember('link', link)},`
  line += `"mode":${mode},"mtimeNs":"${mtimeNs}",${pathMember('path', path)},`
  if (sparse) line += '"sparse":true,'
  if (target !== undefined) line += `${pathMember('target', target)},`
  return `${line}"type":"${type}","uid":${uid}}\n`
}

/** Longest line that a listing may hold, in characters: two paths of 4096 bytes in base64 and a long content fit many times. */
const maxLineLength = 1 << 20

/** Refuses what could write outside the folder: absolute paths, empty, `.` and `..` segments, NUL; and fields that are not what they must be. */
export function decodeTreeEntry(line: string): TreeEntry {
  let json: unknown
  try {
    json = JSON.parse(line)
  } catch (cause) {
    throw new EnvError('damaged', 'a folder listing holds a line that is not JSON', { cause })
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw damagedListing(null)
  return readEntry(json as Record<string, unknown>)
}

function readEntry(json: Record<string, unknown>): TreeEntry {
  const { type, mode, uid, gid, mtimeNs, content, sparse } = json
  const path = readPath(json, 'path')
  const target = readPath(json, 'target')
  const link = readPath(json, 'link')
  const isFile = type === 'file'
  const isValid =
    path !== undefined &&
    isSafePath(path) &&
    (isFile || type === 'directory' || type === 'symlink') &&
    isWhole(mode, 0o7777) &&
    isWhole(uid, maxOwner) &&
    isWhole(gid, maxOwner) &&
    typeof mtimeNs === 'string' &&
    /^-?\d{1,30}$/.test(mtimeNs) &&
    (target !== undefined) === (type === 'symlink') &&
    !target?.includes('\0') &&
    (isFile ? (content === undefined) === (link !== undefined) : content === undefined && link === undefined) &&
    (content === undefined || isContent(content)) &&
    (link === undefined || (link !== '' && isSafePath(link))) &&
    (sparse === undefined || (sparse === true && content !== undefined))
  if (!isValid) throw damagedListing(json['path'])
  return {
    path,
    type,
    mode,
    uid,
    gid,
    mtimeNs: BigInt(mtimeNs),
    ...(content === undefined ? {} : { content }),
    ...(sparse ? { sparse: true as const } : {}),
    ...(target === undefined ? {} : { target }),
    ...(link === undefined ? {} : { link }),
  }
}

const maxOwner = 0xffff_ffff

function isWhole(value: unknown, max: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max
}

function isContent(value: unknown): value is Content {
  if (typeof value !== 'object' || value === null) return false
  const { bytes, sha256, chunks, list } = value as Record<string, unknown>
  const isIds = (ids: unknown) => Array.isArray(ids) && ids.every((id) => isDigest(id))
  return (
    isWhole(bytes, Number.MAX_SAFE_INTEGER) &&
    isDigest(sha256) &&
    (chunks === undefined) !== (list === undefined) &&
    isIds(chunks ?? list)
  )
}

function isDigest(value: unknown): boolean {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
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

/**
 * The entries of a stored listing, in order. Throws `damaged` when they are not in order, or when an entry lies in something that is not
 * a folder of the listing: below a symlink it would be written wherever that points.
 */
export async function* decodeTree(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<TreeEntry> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const order = new ListingOrder()
  let rest = ''
  for await (const part of bytes) {
    const lines = (rest + decodeText(decoder, part)).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > maxLineLength) throw new EnvError('damaged', 'a folder listing holds a line that is too long')
    for (const line of lines) {
      const entry = decodeTreeEntry(line)
      order.check(entry)
      yield entry
    }
  }
  if (rest !== '') throw new EnvError('damaged', 'a folder listing ends in the middle of a line')
}

function decodeText(decoder: InstanceType<typeof TextDecoder>, part: Uint8Array): string {
  try {
    return decoder.decode(part, { stream: true })
  } catch (cause) {
    throw new EnvError('damaged', 'a folder listing is not UTF-8', { cause })
  }
}

/** Holds the entries of a listing to their order, and each to a folder that came before it. */
class ListingOrder {
  readonly #folders: string[] = []
  #last: string | undefined

  check({ path, type }: TreeEntry): void {
    if (this.#last === undefined ? path !== '' : compareTreePaths(this.#last, path) >= 0) {
      throw damagedListing(path)
    }
    while (this.#folders.length > 0 && !isWithin(this.#folders.at(-1)!, path)) this.#folders.pop()
    if (path !== '' && this.#folders.at(-1) !== parentPath(path)) throw damagedListing(path)
    if (type === 'directory') this.#folders.push(path)
    this.#last = path
  }
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
