/** Work that goes on beside what started it, bounded by how many pieces and bytes of it may wait at a time. */
export class InFlight {
  readonly #maxCount: number
  readonly #maxBytes: number
  readonly #pending = new Set<Promise<void>>()
  #bytes = 0
  #failure: { readonly error: unknown } | undefined

  constructor(maxCount: number, maxBytes: number) {
    this.#maxCount = maxCount
    this.#maxBytes = maxBytes
  }

  /** Starts work when there is room. Throws what earlier work threw. */
  async add(bytes: number, work: () => Promise<void>): Promise<void> {
    while (this.#pending.size > 0 && (this.#pending.size >= this.#maxCount || this.#bytes + bytes > this.#maxBytes)) {
      await Promise.race(this.#pending)
    }
    if (this.#failure) throw this.#failure.error
    this.#bytes += bytes
    const promise: Promise<void> = work()
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .finally(() => {
        this.#bytes -= bytes
        this.#pending.delete(promise)
      })
    this.#pending.add(promise)
  }

  /** Resolves when all work is done; throws the first failure. */
  async finish(): Promise<void> {
    while (this.#pending.size > 0) await Promise.race(this.#pending)
    if (this.#failure) throw this.#failure.error
  }
}
