import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, realpathSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection, RowDataPacket } from 'mysql2/promise'
import { firstNumber, guarded, waitFor } from './guarded.ts'
import { findProgram } from './install.ts'

export type MariadbServer = {
  readonly socketPath: string
  readonly pid: number
  /** Its data folder, and the words that start a server on it. */
  readonly data: string
  readonly words: readonly string[]
  /** Resolves when the server and its folder are gone. */
  readonly ended: Promise<void>
  /** After it was killed: on the same data. */
  restart(): Promise<void>
  /** A connection as root; may run several statements at once. */
  connect(database?: string): Promise<Connection>
  /** Runs SQL as root and gives the rows of the last statement. */
  sql(text: string, database?: string): Promise<Record<string, unknown>[]>
  /** What `mariadb-dump` says, as root. */
  dump(...words: readonly string[]): string
  /** Feeds SQL to the client. */
  feed(file: string, database: string): void
  stop(): void
}

type MariadbOptions = {
  /** Where its folder is made. */
  readonly directory?: string
  readonly settings?: readonly string[]
  /** Real writes to the disk, as a server in use has them. */
  readonly durable?: boolean
  /** What the server is started behind. */
  readonly within?: readonly string[]
}

/** The server's process ends when our standard input of its shell does: also when we are killed. */
const serving = '"$@" </dev/null >/dev/null 2>&1 & pid=$!; echo $pid; cat >/dev/null; kill -KILL $pid; wait $pid'
const removing = 'cat >/dev/null; sleep 0.3; rm -rf "$1"'

let shared: Promise<MariadbServer> | undefined

/** The one server of this test process, started when it is first asked for. */
export function mariadbServer(): Promise<MariadbServer> {
  shared ??= startMariadb()
  return shared
}

/** A private server in a folder of its own, reached by its socket alone. It ends with this process, however that ends. */
export async function startMariadb({
  settings = [],
  durable = false,
  directory = tmpdir(),
  within = [],
}: MariadbOptions = {}): Promise<MariadbServer> {
  const server = findProgram('mariadbd', 'mariadb-server')
  const install = findProgram('mariadb-install-db', 'mariadb-server')
  const dumper = findProgram('mariadb-dump', 'mariadb-client')
  const client = findProgram('mariadb', 'mariadb-client')
  const folder = realpathSync(mkdtempSync(path.join(directory, 'git-env-mariadb-')))
  mkdirSync(path.join(folder, 'tmp'))
  const user = process.getuid?.() === 0 ? ['--user=root'] : []
  const data = path.join(folder, 'data')
  execFileSync(
    install,
    [
      '--no-defaults',
      ...user,
      `--datadir=${data}`,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
      '--skip-name-resolve',
      // A server that starts takes away all temporary tables in its folder, also those of another one that is being installed beside it.
      `--tmpdir=${folder}/tmp`,
    ],
    { stdio: 'ignore' },
  )
  const socketPath = path.join(folder, 's.sock')
  const words = [
    '--no-defaults',
    ...user,
    `--datadir=${data}`,
    `--socket=${socketPath}`,
    `--pid-file=${folder}/pid`,
    '--skip-networking',
    `--log-error=${folder}/log`,
    `--tmpdir=${folder}/tmp`,
    '--local-infile=1',
    '--event-scheduler=OFF',
    ...(durable ? [] : ['--innodb-flush-method=nosync', '--innodb-flush-log-at-trx-commit=0', '--sync-frm=0']),
    ...settings,
  ]
  const remover = guarded(['-c', removing, 'sh', folder])
  const ended = once(remover, 'exit').then(() => {})
  waitFor(remover, false)
  let child = guarded(['-c', serving, 'sh', ...within, server, ...words])
  let pid = await firstNumber(child)
  const { createConnection } = await import('mysql2/promise')
  const connect = (database?: string) =>
    createConnection({
      socketPath,
      user: 'root',
      multipleStatements: true,
      charset: 'UTF8MB4_GENERAL_CI',
      ...(database === undefined ? {} : { database }),
    })
  await untilReady(connect, folder)
  return {
    socketPath,
    data,
    words: [server, ...words],
    get pid() {
      return pid
    },
    ended,
    async restart() {
      waitFor(child, true)
      child.stdin.end()
      await once(child, 'exit')
      child = guarded(['-c', serving, 'sh', ...within, server, ...words])
      pid = await firstNumber(child)
      await untilReady(connect, folder)
    },
    connect,
    async sql(text, database) {
      const connection = await connect(database)
      try {
        const [result] = await connection.query<RowDataPacket[]>(text)
        const last = Array.isArray(result) && Array.isArray(result.at(-1)) ? result.at(-1) : result
        return Array.isArray(last) ? last : []
      } finally {
        await connection.end()
      }
    },
    dump: (...rest) =>
      execFileSync(dumper, ['--no-defaults', '-u', 'root', `--socket=${socketPath}`, ...rest], {
        maxBuffer: 1 << 30,
        encoding: 'latin1',
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    feed: (file, database) => {
      execFileSync(
        'sh',
        ['-c', `"$0" --no-defaults -u root --socket="$1" "$2" < "$3"`, client, socketPath, database, file],
        {
          stdio: ['ignore', 'ignore', 'pipe'],
        },
      )
    },
    stop: () => {
      waitFor(remover, true)
      child.stdin.end()
      remover.stdin.end()
    },
  }
}

async function untilReady(connect: () => Promise<Connection>, folder: string): Promise<void> {
  const deadline = Date.now() + 30_000
  for (;;) {
    try {
      return await (await connect()).end()
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`MariaDB does not start; see ${folder}/log`, { cause: error })
      await sleep(25)
    }
  }
}
