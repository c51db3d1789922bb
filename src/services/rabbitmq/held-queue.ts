import path from 'node:path'
import { encodeMessage, type StoredMessage } from './messages.ts'
import { Spool } from './spool.ts'

/** A message in our hands. */
export type Entry = {
  readonly tag: bigint
  /** See `digestOf`. */
  readonly digest: string
  /** The user it says it is from is another, and it could not be published again. */
  readonly isForeign: boolean
  /** Where it lies in what was gathered since the last file was finished. */
  readonly offset: number
  readonly bytes: number
  /** Part of the last capture, or of what was added to it. */
  isKept: boolean
  /** To be removed with the next transaction. */
  isChosen: boolean
}

export type KeptFiles = { readonly files: readonly string[]; readonly count: number }

/** What came of one queue and is not acknowledged, and its bytes in files of a folder. */
export class HeldQueue {
  entries: Entry[] = []
  /** How many entries there were at most at once. */
  most = 0
  isPlain = true
  readonly #directory: string
  readonly #name: string
  #spool: Spool
  #files = 0
  #pending = 0
  #firstSum: string | undefined

  constructor(directory: string, name: string) {
    this.#directory = directory
    this.#name = name
    this.#spool = this.#newSpool()
  }

  add(message: StoredMessage, entry: Pick<Entry, 'tag' | 'digest' | 'isForeign'>): void {
    const encoded = encodeMessage(message)
    this.entries.push({ ...entry, offset: this.#spool.bytes, bytes: encoded.length, isKept: false, isChosen: false })
    this.#spool.append(encoded)
    this.most = Math.max(this.most, this.entries.length)
    this.#pending++
    this.isPlain &&= message.exchange === ''
  }

  /** SHA-256 of the first file, or of what it will be. */
  get sum(): string {
    return this.#firstSum ?? this.#spool.sha256()
  }

  /** All that came since the last time, in a file, durable; all entries are chosen. */
  keep(): KeptFiles {
    for (const entry of this.entries) [entry.isKept, entry.isChosen] = [true, true]
    if (this.#files > 0 && this.#spool.bytes === 0) return { files: [], count: 0 }
    this.#firstSum ??= this.#spool.sha256()
    this.#spool.sync()
    this.#spool.close()
    const kept = { files: [path.basename(this.#spool.file)], count: this.#pending }
    this.#files++
    this.#pending = 0
    this.#spool = this.#newSpool()
    return kept
  }

  /** Only these, which came since the last file was finished, in a file of their own, durable; only they are chosen. */
  keepOnly(chosen: readonly Entry[]): KeptFiles {
    const wanted = new Set(chosen)
    for (const entry of this.entries) entry.isChosen = wanted.has(entry)
    const file = `${this.#name}-late-${this.#files++}`
    const late = new Spool(path.join(this.#directory, file))
    for (const { offset, bytes } of chosen) late.append(this.#spool.part(offset, bytes))
    late.sync()
    late.close()
    return { files: [file], count: chosen.length }
  }

  /** The tags of what was chosen; it is no more in our hands then. */
  takeChosen(): bigint[] {
    const tags = this.entries.filter(({ isChosen }) => isChosen).map(({ tag }) => tag)
    this.entries = this.entries.filter(({ isChosen }) => !isChosen)
    return tags
  }

  close(): void {
    this.#spool.close()
  }

  #newSpool(): Spool {
    return new Spool(path.join(this.#directory, this.#files === 0 ? this.#name : `${this.#name}-${this.#files}`))
  }
}
