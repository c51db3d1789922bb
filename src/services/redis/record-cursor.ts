/** Goes through records that come in batches, without waiting for each. */
export class RecordCursor {
  /** undefined before the first and after the last. */
  record: Buffer | undefined
  readonly #batches: AsyncIterator<Buffer[]>
  #batch: readonly Buffer[] = []
  #at = 0

  constructor(batches: AsyncIterator<Buffer[]>) {
    this.#batches = batches
  }

  /** Goes to the next record; false where more have to be read for it. */
  next(): boolean {
    if (this.#at >= this.#batch.length) return false
    this.record = this.#batch[this.#at++]!
    return true
  }

  async read(): Promise<void> {
    while (!this.next()) {
      const { value, done } = await this.#batches.next()
      if (done) {
        this.record = undefined
        return
      }
      this.#batch = value
      this.#at = 0
    }
  }
}
