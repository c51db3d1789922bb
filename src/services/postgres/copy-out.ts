import type { Connection, Submittable } from 'pg'

const headerBytes = 5
/** What may wait to be taken before the server is made to wait. */
const mostWaitingBytes = 4 << 20

const copyData = 'd'.charCodeAt(0)
/** What may come between rows: CopyOutResponse, ParameterStatus, NoticeResponse, NotificationResponse. */
const passedOver = new Set(Buffer.from('HSNA'))

/** What takes the bytes that a server sends, in place of the client, while rows come. */
type Listener = (chunk: Buffer) => void

/**
 * `COPY … TO STDOUT` as a query of `pg`. The server wraps each row into a message (`d`, its length in four bytes, the row); here the rows of whatever one
 * read of the socket gave are moved together in place, so that a row costs no object. Everything else is left to the client.
 * Messages: PostgreSQL's documentation, "Message Formats".
 */
export class CopyOut implements Submittable {
  /** As the server tells it at the end. */
  rowCount = 0
  readonly #text: string
  #connection: Connection | undefined
  #client: Listener | undefined
  readonly #listener: Listener = (chunk) => this.#take(chunk)
  readonly #header = Buffer.alloc(headerBytes)
  #headerFill = 0
  /** Bytes of the message under way that have not come yet. */
  #left = 0
  #code = 0
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #isDone = false
  #error: Error | undefined
  #wake: (() => void) | undefined

  constructor(text: string) {
    this.#text = text
  }

  submit(connection: Connection): void {
    this.#connection = connection
    const [client] = connection.stream.listeners('data') as Listener[]
    this.#client = client
    connection.stream.on('data', this.#listener)
    connection.stream.removeListener('data', client!)
    connection.query(this.#text)
  }

  /** Rows, as they are written to a file of the server's; ends when the server has sent all, and throws when it or the connection failed. */
  async *parts(): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      while (this.#waiting.length > 0) {
        const parts = this.#waiting
        this.#waiting = []
        this.#waitingBytes = 0
        this.#connection?.stream.resume()
        yield* parts
      }
      if (this.#error) throw this.#error
      if (this.#isDone) return
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  #take(chunk: Buffer): void {
    let at = 0
    let kept = 0
    while (at < chunk.length) {
      if (this.#left > 0) {
        const end = Math.min(chunk.length, at + this.#left)
        this.#left -= end - at
        if (this.#code === copyData) {
          if (kept !== at) chunk.copyWithin(kept, at, end)
          kept += end - at
        }
        at = end
        continue
      }
      if (this.#headerFill === 0 && chunk.length - at >= headerBytes) {
        this.#code = chunk[at]!
        this.#left = chunk.readUInt32BE(at + 1) - 4
      } else {
        const end = Math.min(chunk.length, at + headerBytes - this.#headerFill)
        chunk.copy(this.#header, this.#headerFill, at, end)
        this.#headerFill += end - at
        at = end - headerBytes
        if (this.#headerFill < headerBytes) break
        this.#headerFill = 0
        this.#code = this.#header[0]!
        this.#left = this.#header.readUInt32BE(1) - 4
      }
      at += headerBytes
      if (this.#code !== copyData && !passedOver.has(this.#code)) {
        this.#give(chunk.subarray(0, kept))
        this.#handBack(chunk.subarray(at))
        return
      }
    }
    this.#give(chunk.subarray(0, kept))
  }

  #give(rows: Buffer): void {
    if (rows.length === 0) return
    this.#waiting.push(rows)
    this.#waitingBytes += rows.length
    if (this.#waitingBytes >= mostWaitingBytes) this.#connection?.stream.pause()
    this.#wake?.()
  }

  /** From here on the client reads again, beginning with the message whose header was read last. */
  #handBack(rest: Buffer): void {
    const { stream } = this.#connection!
    stream.on('data', this.#client!)
    stream.removeListener('data', this.#listener)
    stream.resume()
    this.#header[0] = this.#code
    this.#header.writeUInt32BE(this.#left + 4, 1)
    this.#client!(Buffer.concat([this.#header, rest]))
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.rowCount = Number(/^COPY (\d+)/.exec(text)?.[1] ?? 0)
  }

  handleReadyForQuery(): void {
    this.#isDone = true
    this.#wake?.()
  }

  handleError(error: Error): void {
    this.#error = error
    this.#wake?.()
  }
}
