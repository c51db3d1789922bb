import type { Content } from '../domain/content.ts'
import { EnvError, messageOf } from '../domain/errors.ts'
import type { Manifest, StreamRecord } from '../domain/manifest.ts'
import type { PackIndex, PackState } from '../domain/pack-index.ts'
import { decodeTree } from '../domain/tree.ts'
import { packName, packPrefix } from './object-names.ts'
import type { Damage } from './store.ts'
import { chunkIds, type ReadChunk } from './stored-content.ts'

export type PlanOptions = {
  readonly index: PackIndex
  readonly read: (content: Content) => AsyncIterable<Uint8Array>
  readonly readChunk: ReadChunk
  /** What is known to be wrong with the place of this entry: then another place of its chunk is looked for. */
  readonly damageOf: (entry: number) => string | undefined
  readonly signal: AbortSignal | undefined
}

const wrongStates: ReadonlyMap<PackState, string> = new Map([
  ['missing', 'is missing'],
  ['damaged', 'its footer is damaged'],
])

/** Which frames hold what a snapshot needs, and what of it nothing holds. */
export class SnapshotPlan {
  /** Frame numbers of the pack index. */
  readonly frames = new Set<number>()
  /** By object. */
  readonly damages = new Map<string, Damage>()
  readonly #options: PlanOptions

  constructor(options: PlanOptions) {
    this.#options = options
  }

  async addManifest(manifest: Manifest): Promise<void> {
    for (const service of manifest.services) for (const stream of service.streams) await this.addStream(stream)
  }

  /** The chunks of a stream; of a listing also those of the files in it. */
  async addStream(stream: StreamRecord): Promise<void> {
    await this.#addContent(stream.content)
    if (stream.kind !== 'tree') return
    try {
      for await (const entry of decodeTree(this.#options.read(stream.content))) {
        this.#options.signal?.throwIfAborted()
        if (entry.content) await this.#addContent(entry.content)
      }
    } catch (error) {
      this.#addDamage(error)
    }
  }

  async #addContent(content: Content): Promise<void> {
    for (const id of content.list ?? []) this.#addChunk(id)
    try {
      for await (const id of chunkIds(content, this.#options.readChunk)) this.#addChunk(id)
    } catch (error) {
      this.#addDamage(error)
    }
  }

  #addChunk(id: string): void {
    const { index, damageOf } = this.#options
    const key = Buffer.from(id, 'hex')
    let damage: Damage | undefined
    for (let entry = index.find(key, { missing: true }); entry >= 0; ) {
      const pack = index.packOf(entry)
      const reason = wrongStates.get(pack.state) ?? damageOf(entry)
      if (reason === undefined) {
        this.frames.add(index.place(entry).frame)
        return
      }
      damage ??= { object: packName(pack.id), reason }
      entry = index.find(key, { missing: true, after: entry })
    }
    this.#add(damage ?? { object: packPrefix, reason: `no pack holds the chunk ${id}` })
  }

  #addDamage(error: unknown): void {
    if (!(error instanceof EnvError) || error.code !== 'damaged') throw error
    const object = error.details?.['object']
    this.#add({ object: typeof object === 'string' ? object : packPrefix, reason: messageOf(error) })
  }

  #add(damage: Damage): void {
    if (!this.damages.has(damage.object)) this.damages.set(damage.object, damage)
  }
}
