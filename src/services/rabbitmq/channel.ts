import type { EnvError } from '../../domain/errors.ts'
import { type Login, replyError } from './reply.ts'
import { ArgumentReader, ArgumentWriter, encodeFrame, type Frame, frameTypes, methodPayload, methods } from './wire.ts'

/** A message as it was delivered: `properties` are the bytes of flags and properties that the publisher gave. */
export type Delivery = {
  readonly consumer: string
  readonly tag: bigint
  readonly isRedelivered: boolean
  readonly message: Message
}

export type Message = {
  readonly exchange: string
  readonly routingKey: string
  readonly properties: Buffer
  readonly body: Buffer
}

type Answer = { readonly method: number; readonly args: ArgumentReader; readonly message?: Delivery }
type Waiting = { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void }
type Incoming = {
  method: number
  args: ArgumentReader
  properties: Buffer
  bytes: number
  parts: Buffer[]
  got: number
}

/** The connection that a channel is part of. */
export interface Carrier {
  readonly login: Login
  readonly frameBytes: number
  channel(): Promise<Channel>
  forget(number: number): void
  send(bytes: Buffer): boolean
}

export class Channel {
  /** Called for each message that a consumer gets, in the order of the queue. */
  onDelivery: (delivery: Delivery) => void = () => {}
  /** Called for what went to no queue. */
  onReturn: (message: Message) => void = () => {}
  ended: EnvError | undefined
  readonly number: number
  readonly #connection: Carrier
  readonly #waiting: Waiting[] = []
  #incoming: Incoming | undefined

  constructor(connection: Carrier, number: number) {
    this.#connection = connection
    this.number = number
  }

  get connection(): Carrier {
    return this.#connection
  }

  /** Calls that are made at once are sent at once, and answered in this order. */
  call(method: number, args: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.send(method, args)
      this.#waiting.push({ resolve, reject })
    })
  }

  send(method: number, args: Buffer): void {
    if (this.ended) throw this.ended
    this.#connection.send(this.#frame(frameTypes.method, methodPayload(method, args)))
  }

  /** How many messages are ready in a queue, and how many consumers it has. */
  async countQueue(queue: string): Promise<{ readonly ready: number; readonly consumers: number }> {
    const passive = new ArgumentWriter().short(0).shortString(queue).octet(1).table({}).bytes()
    const { args } = await this.call(methods.queueDeclare, passive)
    args.shortString()
    return { ready: args.long(), consumers: args.long() }
  }

  /** A queue that only this connection may use and that ends with it. */
  async declareExclusive(queue: string): Promise<void> {
    await this.call(
      methods.queueDeclare,
      new ArgumentWriter().short(0).shortString(queue).octet(0b00100).table({}).bytes(),
    )
  }

  async prefetch(count: number): Promise<void> {
    await this.call(methods.basicQos, new ArgumentWriter().long(0).short(count).octet(0).bytes())
  }

  async consume(queue: string, consumer: string, priority: number): Promise<void> {
    const args = new ArgumentWriter().short(0).shortString(queue).shortString(consumer).octet(0)
    await this.call(methods.basicConsume, args.table({ 'x-priority': priority }).bytes())
  }

  /** Answered after every delivery to this consumer has come. */
  async cancel(consumer: string): Promise<void> {
    await this.call(methods.basicCancel, new ArgumentWriter().shortString(consumer).octet(0).bytes())
  }

  /** One message, which stays ours until it is acknowledged or given back. */
  async get(queue: string): Promise<Delivery | undefined> {
    const { message } = await this.call(
      methods.basicGet,
      new ArgumentWriter().short(0).shortString(queue).octet(0).bytes(),
    )
    return message
  }

  /** All up to this one; within a transaction with its commit. */
  acknowledgeUpTo(tag: bigint): void {
    this.send(methods.basicAck, new ArgumentWriter().longLong(tag).octet(1).bytes())
  }

  acknowledge(tag: bigint): void {
    this.send(methods.basicAck, new ArgumentWriter().longLong(tag).octet(0).bytes())
  }

  giveBackUpTo(tag: bigint): void {
    this.send(methods.basicNack, new ArgumentWriter().longLong(tag).octet(0b11).bytes())
  }

  /** What reaches no queue is returned. */
  publish({ exchange, routingKey, properties, body }: Message): void {
    const args = new ArgumentWriter().short(0).shortString(exchange).shortString(routingKey).octet(1).bytes()
    const head = Buffer.alloc(12)
    head.writeUInt16BE(60, 0)
    head.writeBigUInt64BE(BigInt(body.length), 4)
    const frames = [
      this.#frame(frameTypes.method, methodPayload(methods.basicPublish, args)),
      this.#frame(frameTypes.header, Buffer.concat([head, properties])),
    ]
    const most = this.#connection.frameBytes - 8
    for (let offset = 0; offset < body.length; offset += most) {
      frames.push(this.#frame(frameTypes.body, body.subarray(offset, offset + most)))
    }
    if (this.ended) throw this.ended
    this.#connection.send(Buffer.concat(frames))
  }

  async beginTransactions(): Promise<void> {
    await this.call(methods.txSelect, Buffer.alloc(0))
  }

  async commit(): Promise<void> {
    await this.call(methods.txCommit, Buffer.alloc(0))
  }

  /** What was taken and not acknowledged goes back into its queues. */
  async close(): Promise<void> {
    if (this.ended) return
    const args = new ArgumentWriter().short(200).shortString('').short(0).short(0).bytes()
    await this.call(methods.channelClose, args).catch(() => {})
    this.#connection.forget(this.number)
  }

  end(error: EnvError): void {
    this.ended ??= error
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  take({ type, payload }: Frame): void {
    if (type === frameTypes.method) this.#takeMethod(payload.readUInt32BE(0), new ArgumentReader(payload, 4))
    else if (this.#incoming && type === frameTypes.header) {
      this.#incoming.bytes = Number(payload.readBigUInt64BE(4))
      this.#incoming.properties = Buffer.from(payload.subarray(12))
      this.#finish(this.#incoming)
    } else if (this.#incoming && type === frameTypes.body) {
      this.#incoming.parts.push(Buffer.from(payload))
      this.#incoming.got += payload.length
      this.#finish(this.#incoming)
    }
  }

  #takeMethod(method: number, args: ArgumentReader): void {
    if (method === methods.basicDeliver || method === methods.basicReturn || method === methods.basicGetOk) {
      this.#incoming = { method, args, properties: Buffer.alloc(0), bytes: 0, parts: [], got: 0 }
    } else if (method === methods.channelClose) {
      const error = replyError(this.#connection.login, args)
      this.#connection.send(this.#frame(frameTypes.method, methodPayload(methods.channelCloseOk, Buffer.alloc(0))))
      this.#connection.forget(this.number)
      this.end(error)
    } else if (method !== methods.basicCancel) {
      // A consumer that the broker cancels, because its queue is gone, is noticed when its queue is counted.
      this.#waiting.shift()?.resolve({ method, args })
    }
  }

  #finish({ method, args, properties, bytes, parts, got }: Incoming): void {
    if (got < bytes) return
    this.#incoming = undefined
    const body = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    if (method === methods.basicReturn) {
      args.short()
      args.shortString()
      this.onReturn({ exchange: args.shortString(), routingKey: args.shortString(), properties, body })
      return
    }
    const consumer = method === methods.basicDeliver ? args.shortString() : ''
    const tag = args.longLong()
    const isRedelivered = args.octet() === 1
    const message = { exchange: args.shortString(), routingKey: args.shortString(), properties, body }
    const delivery = { consumer, tag, isRedelivered, message }
    if (method === methods.basicDeliver) this.onDelivery(delivery)
    else this.#waiting.shift()?.resolve({ method, args, message: delivery })
  }

  #frame(type: number, payload: Buffer): Buffer {
    return encodeFrame({ type, channel: this.number, payload })
  }
}
