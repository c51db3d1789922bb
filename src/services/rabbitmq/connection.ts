import type { Duplex } from 'node:stream'
import { EnvError } from '../../domain/errors.ts'
import { type Carrier, Channel } from './channel.ts'
import { type Login, replyError } from './reply.ts'
import {
  ArgumentReader,
  ArgumentWriter,
  encodeFrame,
  type Frame,
  FrameReader,
  frameTypes,
  methodPayload,
  methods,
} from './wire.ts'

const openMs = 30_000
const wantedFrameBytes = 131_072
/** The broker lets go of all that we have taken when it has not heard of us for about this long: also when this machine dies. */
const heartbeatSeconds = 30

/** One connection of AMQP 0-9-1 over any stream of bytes. */
export class Connection implements Carrier {
  readonly login: Login
  frameBytes = 4096
  /** The broker accepts nothing more until it has room again. */
  isBlocked = false
  ended: Error | undefined
  readonly #stream: Duplex
  readonly #reader = new FrameReader()
  readonly #channels = new Map<number, Channel>()
  #next = 1
  #beat: NodeJS.Timeout | undefined
  #control: ((method: number, args: ArgumentReader) => void) | undefined
  #onEnd: ((error: Error) => void) | undefined

  private constructor(stream: Duplex, login: Login) {
    this.#stream = stream
    this.login = login
    stream.on('data', (part: Buffer) => {
      try {
        for (const frame of this.#reader.read(part)) this.#take(frame)
      } catch (error) {
        this.#end(error as Error)
      }
    })
    stream.on('error', (error: Error) => this.#end(error))
    stream.on('close', () => this.#end(new Error('the connection was closed')))
    stream.on('end', () => this.#end(new Error('the server closed the connection')))
  }

  static async open(stream: Duplex, login: Login): Promise<Connection> {
    const connection = new Connection(stream, login)
    const timer = setTimeout(() => connection.#end(new Error(`no answer within ${openMs / 1000} s`)), openMs)
    try {
      await connection.#open()
      return connection
    } catch (error) {
      stream.destroy()
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  async channel(): Promise<Channel> {
    if (this.ended) throw this.failure(this.ended)
    const number = this.#next++
    const channel = new Channel(this, number)
    this.#channels.set(number, channel)
    await channel.call(methods.channelOpen, new ArgumentWriter().shortString('').bytes())
    return channel
  }

  forget(number: number): void {
    this.#channels.delete(number)
  }

  send(bytes: Buffer): boolean {
    if (this.ended) throw this.failure(this.ended)
    return this.#stream.write(bytes)
  }

  /** Resolves when what was sent has gone out. */
  async drain(): Promise<void> {
    if (this.ended) throw this.failure(this.ended)
    if (!this.#stream.writableNeedDrain) return
    await new Promise<void>((resolve) => {
      this.#stream.once('drain', resolve)
      this.#stream.once('close', resolve)
    })
  }

  /** Ends it at once: what was taken and not acknowledged goes back into its queues. */
  async close(): Promise<void> {
    if (this.ended) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 2000)
      this.#control = () => {
        clearTimeout(timer)
        resolve()
      }
      this.#onEnd = () => resolve()
      this.#method(methods.connectionClose, new ArgumentWriter().short(200).shortString('').short(0).short(0).bytes())
    })
    this.#end(new Error('the connection was closed'))
  }

  /** Any failure of the connection, in our words. Never holds a secret. */
  failure(error: unknown): EnvError {
    if (error instanceof EnvError) return error
    const { name, place } = this.login
    return new EnvError('unavailable', `${name}: the connection to ${place} has ended: ${(error as Error).message}`, {
      hint: 'is the broker running and reachable? its log may say why',
    })
  }

  async #open(): Promise<void> {
    this.#stream.write(Buffer.from('AMQP\u0000\u0000\u0009\u0001', 'latin1'))
    await this.#expect(methods.connectionStart)
    const { user, password, vhost } = this.login
    const capabilities = { 'basic.nack': true, 'connection.blocked': true, authentication_failure_close: true }
    this.#method(
      methods.connectionStartOk,
      new ArgumentWriter()
        .table({ product: 'git-env', connection_name: 'git-env', capabilities })
        .shortString('PLAIN')
        .longString(Buffer.from(`\u0000${user}\u0000${password}`))
        .shortString('en_US')
        .bytes(),
    )
    const tune = await this.#expect(methods.connectionTune)
    const channels = tune.short()
    this.frameBytes = Math.min(tune.long() || wantedFrameBytes, wantedFrameBytes)
    const heartbeat = Math.min(tune.short() || heartbeatSeconds, heartbeatSeconds)
    this.#method(
      methods.connectionTuneOk,
      new ArgumentWriter().short(channels).long(this.frameBytes).short(heartbeat).bytes(),
    )
    this.#beat = setInterval(() => this.#heartbeat(), (heartbeat * 1000) / 3)
    this.#beat.unref()
    this.#method(methods.connectionOpen, new ArgumentWriter().shortString(vhost).shortString('').octet(0).bytes())
    await this.#expect(methods.connectionOpenOk)
  }

  #heartbeat(): void {
    if (!this.ended)
      this.#stream.write(encodeFrame({ type: frameTypes.heartbeat, channel: 0, payload: Buffer.alloc(0) }))
  }

  #expect(wanted: number): Promise<ArgumentReader> {
    return new Promise((resolve, reject) => {
      if (this.ended) return reject(this.failure(this.ended))
      this.#onEnd = (error) => reject(this.failure(error))
      this.#control = (method, args) => {
        if (method === wanted) resolve(args)
        else reject(this.failure(new Error('it answered something that is not expected')))
      }
    })
  }

  #method(method: number, args: Buffer, channel = 0): void {
    this.#stream.write(encodeFrame({ type: frameTypes.method, channel, payload: methodPayload(method, args) }))
  }

  #take(frame: Frame): void {
    this.#channels.get(frame.channel)?.take(frame)
    if (frame.channel !== 0 || frame.type !== frameTypes.method) return
    const method = frame.payload.readUInt32BE(0)
    const args = new ArgumentReader(frame.payload, 4)
    if (method === methods.connectionClose) this.#closedByServer(args)
    else if (method === methods.connectionBlocked) this.isBlocked = true
    else if (method === methods.connectionUnblocked) this.isBlocked = false
    else this.#control?.(method, args)
  }

  #closedByServer(args: ArgumentReader): void {
    const error = replyError(this.login, args)
    this.#method(methods.connectionCloseOk, Buffer.alloc(0))
    this.#end(error)
  }

  #end(error: Error): void {
    if (this.ended) return
    this.ended = error
    clearInterval(this.#beat)
    this.#onEnd?.(error)
    for (const channel of this.#channels.values()) channel.end(this.failure(error))
    this.#channels.clear()
    this.#stream.end(() => this.#stream.destroy())
  }
}
