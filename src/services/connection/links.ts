type Closable = { close(): void | Promise<void> }

/** The ways into one server that a service has open: some for a task, others for as long as the service. */
export class Links<Link extends Closable> {
  readonly #make: (signal: AbortSignal) => Link
  readonly #signal: AbortSignal
  readonly #open: Link[] = []

  /** `make` connects when it is first asked for something; `signal` cuts what is open. */
  constructor(make: (signal: AbortSignal) => Link, signal: AbortSignal) {
    this.#make = make
    this.#signal = signal
  }

  /** One that is closed with the others, or earlier by whoever got it. */
  open(signal = this.#signal): Link {
    const link = this.#make(signal)
    this.#open.push(link)
    return link
  }

  /** One for this task alone. */
  async with<T>(task: (link: Link) => T | Promise<T>): Promise<T> {
    const link = this.#make(this.#signal)
    try {
      return await task(link)
    } finally {
      await link.close()
    }
  }

  async close(): Promise<void> {
    for (const link of this.#open.splice(0)) await link.close()
  }
}
