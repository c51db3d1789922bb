import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { cancelled, EnvError, messageOf } from '../../domain/errors.ts'
import { openTunnel } from '../connection/tunnel.ts'
import { RefusedReply, type Reply, ReplyReader } from './replies.ts'
import type { Server } from './server.ts'

export type Word = string | number | Uint8Array

type Waiting = {
  left: number
  readonly replies: Reply[]
  resolve(replies: Reply[]): void
  reject(error: unknown): void
}

const connectMs = 15_000
/** Longer than any one command of ours takes; a server that says nothing for so long is gone. */
const longestReplyMs = 180_000

/**
 * One connection. Commands go out in the order in which they are given, without waiting for each other; replies are bytes.
 * A driver of npm has no use here: the bytes that follow PSYNC are no replies, and a tunnel brings a stream of its own.
 */
export class Connection {
  readonly #stream: Duplex
  readonly #name: string
  readonly #waiting: Waiting[] = []
  #reader: ReplyReader | undefined = new ReplyReader()
  #failure: unknown
  #timer: NodeJS.Timeout | undefined

  private constructor(stream: Duplex, name: string) {
    this.#stream = stream
    this.#name = name
    stream.on('data', this.#onData)
    stream.on('error', (error) => this.#fail(error))
    stream.on('close', () => this.#fail(undefined))
  }

  static async open(server: Server, signal: AbortSignal): Promise<Connection> {
    if (signal.aborted) throw cancelled()
    const connection = new Connection(await openStream(server, signal), server.name)
    try {
      await connection.#login(server)
      return connection
    } catch (error) {
      connection.destroy()
      throw error
    }
  }

  get ended(): boolean {
    return this.#failure !== undefined
  }

  /** The reply; an error of the server is thrown as `RefusedReply`. */
  async run(...words: readonly Word[]): Promise<Reply> {
    const [reply] = await this.batch([words])
    if (reply instanceof RefusedReply) throw reply
    return reply!
  }

  async text(...words: readonly Word[]): Promise<string> {
    return String(await this.run(...words))
  }

  /** Several commands in one write; errors are among the replies. */
  batch(commands: readonly (readonly Word[])[]): Promise<Reply[]> {
    if (this.#failure !== undefined) return Promise.reject(this.#lost())
    if (commands.length === 0) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      this.#waiting.push({ left: commands.length, replies: [], resolve, reject })
      this.#stream.write(encodeCommands(commands))
      this.#watch()
    })
  }

  /** What comes after this is no reply: gives the stream, with what of it was read already. */
  takeOver(): Duplex {
    const rest = this.#reader!.rest()
    this.#reader = undefined
    clearTimeout(this.#timer)
    this.#stream.pause()
    this.#stream.off('data', this.#onData)
    if (rest.length > 0) this.#stream.unshift(rest)
    return this.#stream
  }

  destroy(): void {
    this.#stream.destroy()
    this.#fail(undefined)
  }

  readonly #onData = (part: Buffer): void => {
    try {
      for (const reply of this.#reader?.read(part) ?? []) this.#take(reply)
    } catch (error) {
      this.#fail(error)
      this.#stream.destroy()
    }
    this.#watch()
  }

  #take(reply: Reply): void {
    const first = this.#waiting[0]
    if (!first) return
    first.replies.push(reply)
    if (--first.left > 0) return
    this.#waiting.shift()
    first.resolve(first.replies)
  }

  #watch(): void {
    clearTimeout(this.#timer)
    if (this.#waiting.length === 0) return
    this.#timer = setTimeout(() => {
      this.#fail(new Error(`no answer within ${longestReplyMs / 1000} s`))
      this.#stream.destroy()
    }, longestReplyMs)
  }

  #fail(cause: unknown): void {
    clearTimeout(this.#timer)
    this.#failure ??= cause ?? new Error('the connection has ended')
    for (const { reject } of this.#waiting.splice(0)) reject(this.#lost())
  }

  #lost(): EnvError {
    return new EnvError(
      'unavailable',
      `${this.#name}: the connection to the server was lost: ${messageOf(this.#failure)}`,
      {
        cause: this.#failure,
        hint: 'see whether the server runs, then run the command again',
      },
    )
  }

  /** What the server says of a login is not shown but for its code: it may quote the password. */
  async #login({ name, endpoint }: Server): Promise<void> {
    const { user, password } = endpoint
    if (password !== undefined) {
      const [reply] = await this.batch([['AUTH', ...(user === undefined ? [] : [user]), password]])
      if (reply instanceof RefusedReply) {
        const why = reply.code === 'WRONGPASS' ? 'user or password is wrong' : `it answers ${reply.code}`
        throw new EnvError('unavailable', `${name}: the server does not let ${user ?? 'us'} in: ${why}`, {
          hint: 'look at the url of the configuration, and at what stands for its variables',
        })
      }
    }
    const [ping] = await this.batch([['PING']])
    if (!(ping instanceof RefusedReply) || ping.code === 'NOPERM') return
    const hints: Record<string, string> = {
      NOAUTH: 'give the url a password, such as redis://:${PASSWORD}@127.0.0.1/0',
      LOADING: 'it reads its data from disk; run the command again when it is done',
    }
    throw new EnvError('unavailable', `${name}: ${ping.message}`, {
      hint: hints[ping.code] ?? 'mend that, then run the command again',
    })
  }
}

export function encodeCommands(commands: readonly (readonly Word[])[]): Buffer {
  const parts: Uint8Array[] = []
  let text = ''
  for (const words of commands) {
    text += `*${words.length}\r\n`
    for (const word of words) {
      if (typeof word === 'object') {
        parts.push(Buffer.from(`${text}$${word.length}\r\n`), word)
        text = '\r\n'
      } else text += `$${Buffer.byteLength(String(word))}\r\n${word}\r\n`
    }
  }
  parts.push(Buffer.from(text))
  return Buffer.concat(parts)
}

async function openStream(server: Server, signal: AbortSignal): Promise<Duplex> {
  const { endpoint, name, ca } = server
  const target =
    endpoint.socketPath === undefined
      ? { host: endpoint.host, port: endpoint.port }
      : { socketPath: endpoint.socketPath }
  const isTls = endpoint.scheme === 'rediss'
  try {
    if (endpoint.run) {
      const tunnel = await openTunnel(endpoint.run, target, signal)
      if (!isTls) return tunnel
      return await ready(connectTls({ socket: tunnel, servername: endpoint.host, ...ca }), 'secureConnect', signal)
    }
    if (isTls) return await ready(connectTls({ ...tcp(target), ...ca }), 'secureConnect', signal)
    return await ready(connect(tcp(target)), 'connect', signal)
  } catch (cause) {
    if (signal.aborted) throw cancelled()
    if (cause instanceof EnvError) throw cause
    throw new EnvError('unavailable', `${name}: no server answers at ${server.place}: ${messageOf(cause)}`, {
      cause,
      hint: 'see whether it runs, and what the url says',
    })
  }
}

function tcp(target: { readonly host: string; readonly port: number } | { readonly socketPath: string }) {
  return 'socketPath' in target ? { path: target.socketPath } : { ...target, noDelay: true, keepAlive: true }
}

function ready<S extends Duplex>(stream: S, event: string, signal: AbortSignal): Promise<S> {
  return new Promise((resolve, reject) => {
    const give = (error: unknown) => {
      stream.destroy()
      reject(error)
    }
    const timer = setTimeout(() => give(new Error(`no answer within ${connectMs / 1000} s`)), connectMs)
    const onAbort = () => give(cancelled())
    signal.addEventListener('abort', onAbort, { once: true })
    const settle = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
    stream.once(event, () => {
      settle()
      resolve(stream)
    })
    stream.once('error', (error) => {
      settle()
      reject(error)
    })
  })
}
