import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import path from 'node:path'
import type { Content } from '../../domain/content.ts'
import { makeDirectory, replaceFile } from '../../system/durable-file.ts'

/** What a file with this identity held. */
export type CachedContent = { readonly identity: string; readonly content: Content; readonly sparse: boolean }

/** The same as one string, `identity TAB content`: a fifth of the memory, for the many that are only passed on. */
export type CacheLine = string

export function cacheLine({ identity, content, sparse }: CachedContent): CacheLine {
  return `${identity}\t${JSON.stringify(sparse ? { ...content, sparse } : content)}`
}

export function parseCacheLine(line: CacheLine): CachedContent {
  const tab = line.indexOf('\t')
  const { sparse, ...content } = JSON.parse(line.slice(tab + 1)) as Content & { sparse?: true }
  return { identity: line.slice(0, tab), content, sparse: sparse === true }
}

export function isOf(line: CacheLine, identity: string): boolean {
  return line.startsWith(`${identity}\t`)
}

const header = 'git-env files cache 1'
const fileName = 'contents'

/**
 * What files were found to hold, so that a file which has not changed since is not read again. Lines of `identity TAB content TAB path`
 * between a line that gives the version and one that gives the SHA-256 of all before it. Whatever is not exactly that is taken for an empty cache: it
 * only costs time.
 */
export class ContentCache {
  /** Path to the rest of its line, parsed when asked for: most of a large cache may never be. */
  readonly #lines: Map<string, CacheLine>

  private constructor(lines: Map<string, string>) {
    this.#lines = lines
  }

  static async load(directory: string): Promise<ContentCache> {
    const lines = new Map<string, string>()
    const digest = createHash('sha256')
    const state = { first: true, ended: false }
    try {
      for await (const line of linesOf(path.join(directory, fileName))) {
        if (state.ended) return new ContentCache(new Map())
        if (state.first && line !== header) return new ContentCache(new Map())
        if (line.startsWith('sha256 ')) {
          if (line !== `sha256 ${digest.digest('hex')}`) return new ContentCache(new Map())
          state.ended = true
          continue
        }
        digest.update(`${line}\n`)
        if (!state.first) addLine(lines, line)
        state.first = false
      }
    } catch {
      return new ContentCache(new Map())
    }
    return new ContentCache(state.ended ? lines : new Map())
  }

  get(path: string, identity: string): CachedContent | undefined {
    const line = this.line(path, identity)
    return line === undefined ? undefined : parseCacheLine(line)
  }

  line(path: string, identity: string): CacheLine | undefined {
    const line = this.#lines.get(path)
    return line !== undefined && isOf(line, identity) ? line : undefined
  }

  /** Number and bytes of the files that it knows. */
  totals(): { readonly files: number; readonly bytes: number } {
    let bytes = 0
    for (const line of this.#lines.values()) bytes += Number(line.slice(0, line.indexOf(' ')))
    return { files: this.#lines.size, bytes }
  }
}

function addLine(lines: Map<string, string>, line: string): void {
  const tab = line.lastIndexOf('\t')
  lines.set(JSON.parse(line.slice(tab + 1)) as string, line.slice(0, tab))
}

async function* linesOf(file: string): AsyncGenerator<string> {
  let rest = ''
  for await (const part of createReadStream(file, { encoding: 'utf8', highWaterMark: 1 << 20 })) {
    const lines = (rest + part).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
}

/** Gathers the next cache while a capture goes on. */
export class ContentCacheWriter {
  readonly #parts: Buffer[] = []
  #text = `${header}\n`

  add(path: string, line: CacheLine): void {
    this.#text += `${line}\t${JSON.stringify(path)}\n`
    if (this.#text.length > 1 << 20) this.#flush()
  }

  async save(directory: string): Promise<void> {
    this.#flush()
    const digest = createHash('sha256')
    for (const part of this.#parts) digest.update(part)
    const last = Buffer.from(`sha256 ${digest.digest('hex')}\n`)
    await makeDirectory(directory)
    await replaceFile(path.join(directory, fileName), [...this.#parts, last])
  }

  #flush(): void {
    this.#parts.push(Buffer.from(this.#text))
    this.#text = ''
  }
}
