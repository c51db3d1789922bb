import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, realpathSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Connection, type Word } from '../../../src/services/redis/connection.ts'
import type { Reply } from '../../../src/services/redis/replies.ts'
import { RefusedReply } from '../../../src/services/redis/replies.ts'
import { firstNumber, guarded, waitFor } from './guarded.ts'
import { findProgram } from './install.ts'

export type RedisServer = {
  readonly directory: string
  readonly socketPath: string
  readonly pid: number
  /** As the configuration would have it. */
  url(index?: number | '', user?: string, password?: string): string
  /** A connection as the default user. */
  connect(index?: number): Promise<Connection>
  /** Runs commands in an index, and gives the last reply; throws the first error. */
  run(index: number, ...commands: readonly (readonly Word[])[]): Promise<Reply>
  /** What `redis-cli` says. */
  cli(...words: readonly string[]): string
  /** Ends it (`SIGTERM` lets it save, `SIGKILL` does not) and starts it on the same data. */
  restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
  stop(): void
}

export type RedisOptions = {
  readonly settings?: readonly string[]
  /** Where its folder is made. */
  readonly directory?: string
  /** A folder that exists already, with a dump in it. */
  readonly folder?: string
}

/** The server's process ends when our standard input of its shell does: also when we are killed. */
const serving =
  '"$@" </dev/null >/dev/null 2>&1 & pid=$!; echo $pid; read signal; kill -$' + '{signal:-KILL} $pid; wait $pid'
const removing = 'cat >/dev/null; sleep 0.3; rm -rf "$1"'

let shared: Promise<RedisServer> | undefined

/** The one server of this test process, started when it is first asked for. */
export function redisServer(): Promise<RedisServer> {
  shared ??= startRedis()
  return shared
}

/** A private server in a folder of its own, reached by its socket alone. It ends with this process, however that ends. */
export async function startRedis({
  settings = ['--save', '', '--appendonly', 'no'],
  directory = tmpdir(),
  folder,
}: RedisOptions = {}): Promise<RedisServer> {
  const program = findProgram('redis-server', 'redis-server')
  const client = findProgram('redis-cli', 'redis-tools')
  const home = realpathSync(folder ?? mkdtempSync(path.join(directory, 'git-env-redis-')))
  const socketPath = path.join(home, 's.sock')
  const words = ['--port', '0', '--unixsocket', socketPath, '--dir', home, '--daemonize', 'no', '--logfile', 'log']
  const start = () => guarded(['-c', serving, 'sh', program, ...words, '--enable-debug-command', 'yes', ...settings])
  const remover = guarded(['-c', removing, 'sh', home])
  waitFor(remover, false)
  const connect = (index = 0) => connectTo(socketPath, index)
  let child = start()
  let pid = await firstNumber(child)
  await untilReady(connect, home)
  return {
    directory: home,
    socketPath,
    get pid() {
      return pid
    },
    url: (index = '', user = '', password = '') => {
      const login = user + password === '' ? '' : `${encodeURIComponent(user)}:${encodeURIComponent(password)}@`
      return `redis://${login}localhost/${index}?socketPath=${encodeURIComponent(socketPath)}`
    },
    connect,
    async run(index, ...commands) {
      const connection = await connect(index)
      try {
        const replies = await connection.batch(commands)
        const refused = replies.find((reply) => reply instanceof RefusedReply)
        if (refused) throw refused
        return replies.at(-1)!
      } finally {
        connection.destroy()
      }
    },
    cli: (...rest) =>
      execFileSync(client, ['-s', socketPath, ...rest], {
        maxBuffer: 1 << 30,
        encoding: 'latin1',
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    async restart(signal) {
      waitFor(child, true)
      child.stdin.end(`${signal.replace('SIG', '')}\n`)
      await once(child, 'exit')
      child = start()
      pid = await firstNumber(child)
      await untilReady(connect, home)
    },
    stop: () => {
      waitFor(remover, true)
      child.stdin.end()
      remover.stdin.end()
    },
  }
}

export function connectTo(socketPath: string, index: number): Promise<Connection> {
  const endpoint = {
    scheme: 'redis',
    host: 'localhost',
    port: 0,
    socketPath,
    user: undefined,
    password: undefined,
    database: undefined,
    options: {},
    run: undefined,
  }
  const server = { name: 'test', endpoint, index, spare: undefined, ca: {}, place: socketPath }
  return Connection.open(server, new AbortController().signal).then(async (connection) => {
    await connection.run('SELECT', index)
    return connection
  })
}

async function untilReady(connect: () => Promise<Connection>, folder: string): Promise<void> {
  const deadline = Date.now() + 60_000
  for (;;) {
    try {
      return (await connect()).destroy()
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`Redis does not start; see ${folder}/log`, { cause: error })
      await sleep(20)
    }
  }
}
