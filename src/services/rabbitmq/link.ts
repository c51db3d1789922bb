import { connect as connectPlain } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { EnvError, messageOf } from '../../domain/errors.ts'
import { openTunnel } from '../connection/tunnel.ts'
import type { Broker } from './broker.ts'
import { Connection } from './connection.ts'
import { Management } from './management.ts'
import { replyOf } from './reply.ts'

const connectMs = 30_000

/** The ways to one broker, AMQP and its management, and all connections that were made on them. */
export class Link {
  readonly broker: Broker
  readonly management: Management
  readonly #signal: AbortSignal
  readonly #connections: Connection[] = []

  constructor(broker: Broker, signal: AbortSignal) {
    this.broker = broker
    this.#signal = signal
    this.management = new Management(broker, (endpoint) => this.#stream(endpoint))
  }

  async open(): Promise<Connection> {
    const { name, place, user, password, vhost, endpoint } = this.broker
    const stream = await this.#stream(endpoint)
    const connection = await Connection.open(stream, { name, place, user, password, vhost })
    this.#connections.push(connection)
    return connection
  }

  /** undefined when the broker has no such vhost. */
  async openIfThere(): Promise<Connection | undefined> {
    try {
      return await this.open()
    } catch (error) {
      if (replyOf(error) === 530 && /vhost .*not found/s.test(messageOf(error))) return undefined
      if (replyOf(error) !== 530) throw error
      const { user, vhost, name } = this.broker
      throw new EnvError('refused', `${name}: ${messageOf(error).replace(/^.*?: .*?: /, '')}`, {
        cause: error,
        hint: `rabbitmqctl set_permissions -p '${vhost}' '${user}' '.*' '.*' '.*'`,
      })
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#connections.splice(0).map((connection) => connection.close()))
  }

  async #stream(endpoint: Broker['endpoint']): Promise<Duplex> {
    this.#signal.throwIfAborted()
    const { host, port, run, scheme } = endpoint
    const { tls, name } = this.broker
    const isTls = scheme === 'amqps' || scheme === 'https'
    const plain = run === undefined ? undefined : await openTunnel(run, { host, port }, this.#signal)
    return new Promise((resolve, reject) => {
      const secure = { ...tls, servername: /^[\d.]+$|:/.test(host) ? '' : host, host, port }
      const socket =
        plain && !isTls
          ? plain
          : isTls
            ? connectTls(plain ? { ...secure, socket: plain } : secure)
            : connectPlain({ host, port })
      const giveUp = () => socket.destroy(new Error('the command was cancelled'))
      const timer = setTimeout(() => socket.destroy(new Error(`no answer within ${connectMs / 1000} s`)), connectMs)
      const settle = () => {
        clearTimeout(timer)
        this.#signal.removeEventListener('abort', giveUp)
      }
      this.#signal.addEventListener('abort', giveUp)
      const fail = (error: Error) => {
        settle()
        reject(
          new EnvError('unavailable', `${name}: no connection to ${host}:${port}: ${messageOf(error)}`, {
            cause: error,
            hint: 'is the broker running there?',
          }),
        )
      }
      if (socket === plain) {
        settle()
        return resolve(socket)
      }
      socket.once('error', fail)
      socket.once(isTls ? 'secureConnect' : 'connect', () => {
        socket.off('error', fail)
        settle()
        if ('setKeepAlive' in socket) socket.setKeepAlive(true, 10_000).setNoDelay(true)
        resolve(socket)
      })
    })
  }
}
