import type { Duplex } from 'node:stream'
import { EnvError } from '../../domain/errors.ts'
import { Connection } from './connection.ts'
import { type RdbVisitor, readRdb } from './rdb-file.ts'
import { RefusedReply } from './replies.ts'
import type { Server } from './server.ts'

const longestPointMs = 4000

/**
 * A replica that takes the server's data once: the server forks, and sends what it held at that moment. Without `capa eof` it answers only
 * when it has forked: then the answer is the point.
 */
export class Replica {
  readonly #name: string
  readonly #connection: Connection
  #bytes: StreamBytes | undefined

  private constructor(connection: Connection, name: string) {
    this.#connection = connection
    this.#name = name
  }

  /** undefined: this user, or this server, has no replication. */
  static async open(server: Server, signal: AbortSignal): Promise<Replica | undefined> {
    const connection = await Connection.open(server, signal)
    const replies = await connection.batch([
      ['REPLCONF', 'listening-port', 0],
      ['REPLCONF', 'capa', 'psync2'],
      ['REPLCONF', 'rdb-only', 1],
    ])
    if (!(replies[0] instanceof RefusedReply)) return new Replica(connection, server.name)
    connection.destroy()
    return undefined
  }

  /**
   * The server's data as it is from now on. `offset`: where the server's replication stands, so that what was forked for somebody else
   * before is found out. false: the server refuses. Throws `busy` when it is not to be had at once.
   */
  async point(offset: number, isHeld: boolean): Promise<boolean> {
    const stream = this.#connection.takeOver()
    const bytes = new StreamBytes(stream)
    stream.write('*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n')
    const timer = isHeld ? setTimeout(() => stream.destroy(), longestPointMs) : undefined
    const line = await bytes.line().finally(() => clearTimeout(timer))
    if (line === undefined) throw this.#notNow('it does not begin')
    if (/^-(NOPERM|ERR)/.test(line)) return false
    if (line.startsWith('-')) {
      throw new EnvError('unavailable', `${this.#name}: the server gives no data: ${line.slice(1)}`, {
        hint: 'mend that, then run the command again',
      })
    }
    const at = Number(/^\+FULLRESYNC \S+ (\d+)/.exec(line)?.[1] ?? -1)
    if (at < offset) throw this.#notNow('one that began before is still under way')
    this.#bytes = bytes
    return true
  }

  async read(visitor: RdbVisitor): Promise<{ readonly version: number }> {
    const line = await this.#bytes!.line()
    if (line === undefined || !line.startsWith('$')) {
      throw new EnvError(
        'unavailable',
        `${this.#name}: the server could not write its data${line ? `: ${line}` : ''}`,
        {
          hint: 'see the log of the server; it needs room for a dump in its folder',
        },
      )
    }
    return readRdb(this.#bytes!, visitor, this.#name)
  }

  close(): void {
    this.#connection.destroy()
  }

  #notNow(why: string): EnvError {
    return new EnvError('busy', `${this.#name}: the server gives no dump of this moment: ${why}`, {
      hint: 'wait until its background save is done, then run the command again',
    })
  }
}

/** Bytes of a stream, and lines before them; empty lines are the server's sign of life. */
class StreamBytes implements AsyncIterator<Uint8Array> {
  readonly #parts: AsyncIterator<Buffer>
  #rest = Buffer.alloc(0)

  constructor(stream: Duplex) {
    this.#parts = stream[Symbol.asyncIterator]()
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#rest.length > 0) {
      const value = this.#rest
      this.#rest = Buffer.alloc(0)
      return { value, done: false }
    }
    try {
      return await this.#parts.next()
    } catch {
      // A connection that breaks off is one that ends.
      return { value: undefined, done: true }
    }
  }

  async line(): Promise<string | undefined> {
    for (let held = Buffer.alloc(0); ; ) {
      const end = held.indexOf('\n')
      if (end >= 0) {
        const line = held.toString('latin1', 0, end).trim()
        held = held.subarray(end + 1)
        if (line === '') continue
        this.#rest = held
        return line
      }
      const { value, done } = await this.next()
      if (done) return undefined
      held = Buffer.concat([held, value])
    }
  }
}
