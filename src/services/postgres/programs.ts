import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { EnvError, messageOf } from '../../domain/errors.ts'
import type { Entrance } from './entrance.ts'
import type { Server } from './server.ts'

const run = promisify(execFile)
const mostBytes = 1 << 29

export type Dumper = { readonly file: string; readonly version: string; readonly major: number }

/** Folders, besides PATH, in which systems keep one folder for each version; `*` is the version. */
const roots = [
  '/usr/lib/postgresql/*/bin',
  '/usr/pgsql-*/bin',
  '/opt/homebrew/opt/postgresql@*/bin',
  '/usr/local/opt/postgresql@*/bin',
]

let found: Promise<readonly Dumper[]> | undefined

/** A pg_dump that understands a server of this major version: of the same where there is one, else the next newer one. */
export async function findDumper(serverMajor: number): Promise<Dumper | undefined> {
  found ??= allDumpers()
  return (await found).filter((each) => each.major >= serverMajor).toSorted((a, b) => a.major - b.major)[0]
}

export async function requireDumper(name: string, serverMajor: number): Promise<Dumper> {
  const dumper = await findDumper(serverMajor)
  if (dumper) return dumper
  throw new EnvError('refused', `${name}: no pg_dump of version ${serverMajor} or newer is on this machine`, {
    hint: installHint(serverMajor),
  })
}

export function installHint(serverMajor: number): string {
  return `install it: apt-get install postgresql-client-${serverMajor}, or brew install libpq; it may also be elsewhere in PATH`
}

async function allDumpers(): Promise<Dumper[]> {
  const folders = [
    ...roots.flatMap(expand),
    ...(process.env['PATH'] ?? '').split(path.delimiter).filter((each) => path.isAbsolute(each)),
    '/opt/homebrew/opt/libpq/bin',
    '/usr/local/opt/libpq/bin',
  ]
  const files = [...new Set(folders.map((folder) => path.join(folder, 'pg_dump')))].filter((file) => existsSync(file))
  const dumpers = await Promise.all(files.map(dumperAt))
  return dumpers.filter((each) => each !== undefined)
}

function expand(pattern: string): string[] {
  const [root = '', end = ''] = pattern.split('*')
  const folder = path.dirname(`${root}x`)
  if (!existsSync(folder)) return []
  const names = readdirSync(folder).filter((name) => path.join(folder, name).startsWith(root))
  return names.map((name) => path.join(folder, name) + end)
}

async function dumperAt(file: string): Promise<Dumper | undefined> {
  try {
    const { stdout } = await run(file, ['--version'])
    const [, version = ''] = /(\d+\S*)/.exec(stdout) ?? []
    return { file, version, major: Number.parseInt(version, 10) }
  } catch {
    return undefined
  }
}

/** Runs pg_dump and gives its text. The password goes by the environment of that process, which only its user can read. */
export async function dump(
  dumper: Dumper,
  server: Server,
  entrance: Entrance,
  options: { readonly database: string; readonly words: readonly string[]; readonly signal: AbortSignal },
): Promise<string> {
  try {
    const { stdout } = await run(dumper.file, ['--no-password', ...options.words], {
      env: { ...environment(), ...libpqEnvironment(server, entrance, options.database) },
      maxBuffer: mostBytes,
      signal: options.signal,
    })
    return stdout
  } catch (cause) {
    if (options.signal.aborted) throw new EnvError('cancelled', 'cancelled', { cause })
    const said = (cause as { stderr?: string }).stderr?.trim().split('\n')
    const reason = said?.find((line) => line.includes('error:')) ?? said?.at(-1) ?? messageOf(cause)
    const detail = said?.find((line) => line.includes('ERROR:'))?.replace(/^.*ERROR: +/, '')
    const isRight = /permission denied/.test(reason + (detail ?? ''))
    throw new EnvError(
      isRight ? 'refused' : 'unavailable',
      `${server.name}: ${detail ?? reason.replace(/^pg_dump: error: /, 'pg_dump says: ')}`,
      {
        cause,
        ...(isRight
          ? { hint: `let ${server.user} read all tables of the database: GRANT pg_read_all_data TO ${server.user}` }
          : {}),
      },
    )
  }
}

/** Nothing of the caller's own PostgreSQL settings. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('PG')))
}

function libpqEnvironment(server: Server, entrance: Entrance, database: string): Record<string, string> {
  const { ssl, endpoint } = server
  return {
    PGHOST: entrance.host,
    ...(entrance.address === undefined ? {} : { PGHOSTADDR: entrance.address }),
    PGPORT: String(entrance.port),
    PGUSER: server.user,
    PGDATABASE: database,
    PGPASSWORD: endpoint.password ?? '',
    PGPASSFILE: '/dev/null',
    PGAPPNAME: 'git-env',
    PGCLIENTENCODING: 'UTF8',
    PGSSLMODE: ssl.mode,
    ...(ssl.rootCertificate === undefined ? {} : { PGSSLROOTCERT: ssl.rootCertificate }),
    ...(ssl.certificate === undefined ? {} : { PGSSLCERT: ssl.certificate }),
    ...(ssl.key === undefined ? {} : { PGSSLKEY: ssl.key }),
  }
}
