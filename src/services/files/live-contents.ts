import { createHash } from 'node:crypto'
import type { Content } from '../../domain/content.ts'
import type { ContentCache } from './content-cache.ts'
import { type FileClock, identityOf } from './identity.ts'
import type { Mount } from './mount.ts'
import { type ByteTaker, readStable } from './read-file.ts'
import type { LiveEntry } from './walk.ts'

export type LiveContent = {
  readonly sha256: string
  readonly sparse: boolean
  /** Where the store has it, if the last capture read this very state of the file. */
  readonly content: Content | undefined
}

/** What live files hold: as the last capture found it where nothing changed since, else by reading them now. */
export class LiveContents {
  readonly #mount: Mount
  readonly #cache: ContentCache
  readonly #clock: FileClock
  readonly #remembered: number
  /** What was found out here, by path. */
  readonly #known = new Map<string, { readonly identity: string; readonly content: LiveContent }>()

  /** `remembered`: of so many files it keeps in memory what it found out, for another plan. */
  constructor(mount: Mount, cache: ContentCache, clock: FileClock, remembered = 0) {
    this.#mount = mount
    this.#cache = cache
    this.#clock = clock
    this.#remembered = remembered
  }

  /** undefined when the file vanished, or changes all the time. */
  async of(entry: LiveEntry): Promise<LiveContent | undefined> {
    const identity = identityOf(entry.stat)
    const known = this.#known.get(entry.path)
    if (known?.identity === identity) return known.content
    const content = this.#cached(entry.path, identity) ?? (await this.#read(entry, identity))
    if (content && this.#known.size < this.#remembered) this.#known.set(entry.path, { identity, content })
    return content
  }

  #cached(path: string, identity: string): LiveContent | undefined {
    const cached = this.#cache.get(path, identity)
    return cached && { sha256: cached.content.sha256, sparse: cached.sparse, content: cached.content }
  }

  async #read({ path, stat }: LiveEntry, identity: string): Promise<LiveContent | undefined> {
    // A change right after the reading must show in the file's ctime, which is what the last look before the swap compares.
    await this.#clock.settle(stat.ctimeNs)
    const result = await readStable(this.#mount, path, digestOnly)
    if (!result?.stable || identityOf(result.stat) !== identity) return undefined
    return { sha256: result.content.sha256, sparse: result.sparse, content: undefined }
  }
}

const digestOnly: ByteTaker = async (_profile, bytes) => {
  const digest = createHash('sha256')
  let length = 0
  for await (const part of bytes instanceof Uint8Array ? [bytes] : bytes) {
    digest.update(part)
    length += part.length
  }
  return { bytes: length, sha256: digest.digest('hex'), chunks: [] }
}
