import { execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pg from 'pg'

/** A PostgreSQL of this test process alone: own data folder, own socket, and a port of the loopback interface only where it is asked for. */
export type PostgresServer = {
  /** The folder of its socket. */
  readonly socketFolder: string
  readonly binaries: string
  readonly pid: number
  /** A connection, of the superuser unless told otherwise; the caller ends it. */
  connect(database: string, user?: string, password?: string): Promise<pg.Client>
  /** Runs statements as the superuser, in a connection of their own. */
  run(database: string, ...statements: readonly string[]): Promise<void>
  /** A program of PostgreSQL's, as the superuser; gives what it prints. */
  tool(name: string, words: readonly string[], input?: string | Buffer): string
  url(database: string, user?: string, password?: string): string
  stop(): Promise<void>
}

const packageName = 'postgresql-15'

let shared: Promise<PostgresServer> | undefined

/** The one server of this process; it ends with it. */
export function sharedPostgres(): Promise<PostgresServer> {
  shared ??= startPostgres(['fsync=off', 'full_page_writes=off'])
  return shared
}

function postgresBinaries(): string {
  return findBinaries() ?? install()
}

function findBinaries(): string | undefined {
  const root = '/usr/lib/postgresql'
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [
    ...versions.map((version) => path.join(root, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(':'),
  ]
  return folders.find((folder) =>
    ['initdb', 'postgres', 'pg_dump', 'psql'].every((name) => existsSync(path.join(folder, name))),
  )
}

function install(): string {
  const policy = '/usr/sbin/policy-rc.d'
  const command = `apt-get install -y --no-install-recommends ${packageName}`
  if (process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    // Without this apt would start the system's own instance.
    if (!existsSync(policy)) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
    execFileSync('sh', ['-c', `apt-get update -qq; apt-get -o DPkg::Lock::Timeout=300 ${command.slice(8)}`], {
      stdio: 'ignore',
    })
    const found = findBinaries()
    if (found) return found
  }
  throw new Error(`the tests of the postgres driver need a PostgreSQL server: sudo ${command}`)
}

export type PostgresOptions = {
  /** Where its folder is made. */
  readonly place?: string
  /** Files of a certificate and its key, for TLS. */
  readonly certificate?: { readonly pem: string; readonly key: string }
}

/** Settings are given as `name=value`. The server is stopped by its process id when standard input of its keeper ends, so also when this process dies. */
export async function startPostgres(
  settings: readonly string[] = [],
  { place = tmpdir(), certificate }: PostgresOptions = {},
): Promise<PostgresServer> {
  const binaries = postgresBinaries()
  const directory = mkdtempSync(path.join(place, 'git-env-postgres-'))
  const isRoot = process.getuid?.() === 0
  const owner = isRoot ? ids('postgres') : undefined
  chmodSync(directory, 0o755)
  const data = path.join(directory, 'data')
  mkdirSync(data)
  if (owner) for (const each of [directory, data]) chownSync(each, owner.uid, owner.gid)
  const as = owner ? { uid: owner.uid, gid: owner.gid } : {}
  const password = path.join(directory, 'password')
  const env = { ...process.env, LC_ALL: 'C.UTF-8' }
  execFileSync(
    path.join(binaries, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync', '-E', 'UTF8', '--locale=C.UTF-8'],
    { ...as, env, stdio: 'pipe', cwd: directory },
  )
  writeFileSync(
    path.join(data, 'pg_hba.conf'),
    'local all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n',
  )
  const tls: string[] = []
  for (const [kind, file] of Object.entries(certificate ?? {})) {
    const own = path.join(directory, `server.${kind}`)
    copyFileSync(file, own)
    chmodSync(own, 0o600)
    if (owner) chownSync(own, owner.uid, owner.gid)
    tls.push(`ssl_${kind === 'pem' ? 'cert' : 'key'}_file=${own}`)
  }
  const all = [
    ...(certificate ? ['ssl=on', ...tls] : []),
    `unix_socket_directories=${directory}`,
    'listen_addresses=',
    'max_connections=100',
    'log_min_messages=warning',
    ...settings,
  ]
  const port = Number(settings.find((setting) => setting.startsWith('port='))?.slice(5) ?? 5432)
  const words = ['-D', data, ...all.flatMap((setting) => ['-c', setting])]
  const keeper = spawn(
    'sh',
    [
      '-c',
      '"$@" 2>"$0/log" & pid=$!; echo $pid; cat >/dev/null; kill -INT $pid; wait $pid; rm -rf "$0"',
      directory,
      path.join(binaries, 'postgres'),
      ...words,
    ],
    { ...as, env, stdio: ['pipe', 'pipe', 'inherit'], cwd: '/', detached: true },
  )
  const pid = await new Promise<number>((resolve, reject) => {
    keeper.once('error', reject)
    keeper.stdout.once('data', (text: Buffer) => resolve(Number(text.toString().trim())))
  })
  keeper.unref()
  ;(keeper.stdin as unknown as { unref(): void }).unref()
  ;(keeper.stdout as unknown as { unref(): void }).unref()
  await ready(binaries, directory, port)
  return handle({ binaries, directory, port, pid, keeper, password })
}

function handle(started: {
  binaries: string
  directory: string
  port: number
  pid: number
  keeper: ReturnType<typeof spawn>
  password: string
}): PostgresServer {
  const { binaries, directory, port, pid, keeper } = started
  const connect = async (database: string, user = 'postgres', password = '') => {
    const client = new pg.Client({ host: directory, port, user, password, database })
    client.on('error', () => {})
    await client.connect()
    return client
  }
  const url = (database: string, user = 'postgres', password?: string) =>
    `postgres://${encodeURIComponent(user)}${password === undefined ? '' : `:${encodeURIComponent(password)}`}@localhost:${port}/${encodeURIComponent(database)}?socketPath=${encodeURIComponent(directory)}`
  return {
    socketFolder: directory,
    binaries,
    pid,
    connect,
    url,
    run: async (database, ...statements) => {
      const client = await connect(database)
      try {
        for (const statement of statements) await client.query(statement)
      } finally {
        await client.end()
      }
    },
    tool: (name, words, input) =>
      execFileSync(path.join(binaries, name), [...words], {
        env: { ...process.env, PGHOST: directory, PGPORT: String(port), PGUSER: 'postgres' },
        maxBuffer: 1 << 30,
        stdio: ['pipe', 'pipe', 'pipe'],
        ...(input === undefined ? {} : { input }),
      }).toString(),
    stop: () =>
      new Promise((resolve) => {
        keeper.ref()
        keeper.once('exit', () => resolve())
        keeper.stdin?.end()
      }),
  }
}

async function ready(binaries: string, directory: string, port: number): Promise<void> {
  for (const deadline = Date.now() + 20_000; ; ) {
    try {
      execFileSync(path.join(binaries, 'pg_isready'), ['-q', '-h', directory, '-p', String(port)])
      return
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

function ids(user: string): { uid: number; gid: number } {
  const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, user]).toString()))
  return { uid: uid!, gid: gid! }
}
