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

  constructor(mount: Mount, cache: ContentCache, clock: FileClock) {
    this.#mount = mount
    this.#cache = cache
    this.#clock = clock
  }

  /** undefined when the file vanished, or changes all the time. */
  async of({ path, stat }: LiveEntry): Promise<LiveContent | undefined> {
    const cached = this.#cache.get(path, identityOf(stat))
    if (cached) return { sha256: cached.content.sha256, sparse: cached.sparse, content: cached.content }
    // A change right after the reading must show in the file's ctime, which is what the last look before the swap compares.
    await this.#clock.settle(stat.ctimeNs)
    const result = await readStable(this.#mount, path, digestOnly)
    if (!result?.stable || identityOf(result.stat) !== identityOf(stat)) return undefined
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
