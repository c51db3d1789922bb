import { hash } from 'node:crypto'
import { isServerError, type Row, type Session } from './session.ts'

export type Rung = 'stage' | 'global lock' | 'table locks' | 'transaction'

/** What a server is and what our user may do there. */
export type ServerFacts = {
  readonly product: 'MariaDB' | 'MySQL'
  readonly version: string
  /** Major, minor, patch. */
  readonly numbers: readonly [number, number, number]
  /** The same for every connection to this server, and to no other. */
  readonly identity: string
  /** Seconds since 1970 at which it was started, give or take one. */
  readonly startedAt: number
  readonly user: string
  readonly localInfile: boolean
  readonly maxPacketBytes: number
  readonly tableNamesIgnoreCase: boolean
  readonly rung: Rung
  /** May make views, routines, triggers and events that belong to others. */
  readonly definesForOthers: boolean
  /** Sees all processes and InnoDB's own counters. */
  readonly seesProcesses: boolean
}

const factsQuery = [
  'SELECT VERSION() version, @@version_comment comment, @@hostname host, @@port port, @@datadir datadir, @@local_infile local_infile',
  '@@max_allowed_packet packet, @@lower_case_table_names lower_names, CURRENT_USER() user, UNIX_TIMESTAMP() now',
].join(', ')

export async function factsOf(session: Session, database: string): Promise<ServerFacts> {
  const row = (await session.first(factsQuery)) as Row
  const uptime = await session.first(`SHOW GLOBAL STATUS LIKE 'Uptime'`)
  const version = row['version']!
  const product = /mariadb/i.test(`${version} ${row['comment']}`) ? 'MariaDB' : 'MySQL'
  const numbers = numbersOf(version)
  const rights = await rightsOf(session, database)
  return {
    product,
    version,
    numbers,
    identity: hash('sha256', `${row['host']} ${row['port']} ${row['datadir']}`),
    startedAt: Math.floor(Number(row['now'])) - Number(uptime?.['Value'] ?? 0),
    user: row['user']!,
    localInfile: row['local_infile'] === '1' || row['local_infile'] === 'ON',
    maxPacketBytes: Number(row['packet']),
    tableNamesIgnoreCase: row['lower_names'] !== '0',
    rung: rungOf(product, numbers, rights),
    definesForOthers: ['SUPER', 'SET USER', 'SET_USER_ID', 'SET_ANY_DEFINER'].some((right) => rights.has(right)),
    seesProcesses: rights.has('PROCESS'),
  }
}

export function atLeast({ numbers }: Pick<ServerFacts, 'numbers'>, ...wanted: readonly number[]): boolean {
  for (const [i, number] of wanted.entries()) {
    if (numbers[i]! !== number) return numbers[i]! > number
  }
  return true
}

/** `10.11.19-MariaDB-0+deb12u1` → 10, 11, 19; also behind the `5.5.5-` that old MariaDBs put in front. */
export function numbersOf(version: string): [number, number, number] {
  const [major = 0, minor = 0, patch = 0] = version
    .replace(/^5\.5\.5-(?=1\d\.)/, '')
    .split('.')
    .map((part) => Number.parseInt(part, 10))
  return [major, minor, patch]
}

/**
 * InnoDB's fast way into an empty table damaged indexes before these versions (MDEV-34703, MDEV-37192): there each row goes in by itself.
 */
export function mayLoadInBulk(facts: ServerFacts): boolean {
  if (facts.product === 'MySQL' || !atLeast(facts, 10, 6)) return true
  const [major, minor] = facts.numbers
  if (major === 10) return minor === 11 && atLeast(facts, 10, 11, 11)
  if (major === 11) return minor === 4 ? atLeast(facts, 11, 4, 5) : atLeast(facts, 11, 7, 2)
  return true
}

function rungOf(product: string, numbers: ServerFacts['numbers'], rights: ReadonlySet<string>): Rung {
  if (rights.has('RELOAD')) return product === 'MariaDB' && atLeast({ numbers }, 10, 4, 1) ? 'stage' : 'global lock'
  return rights.has('LOCK TABLES') && rights.has('SELECT') ? 'table locks' : 'transaction'
}

const onAll = /^GRANT (.+?) ON \*\.\* TO /i
const onDatabase = /^GRANT (.+?) ON `((?:[^`]|``)+)`\.\* TO /i

/** Rights on all or on this database, in capitals; `ALL PRIVILEGES` stands for those that can be had there. */
async function rightsOf(session: Session, database: string): Promise<Set<string>> {
  const rights = new Set<string>()
  const rows = await session.query('SHOW GRANTS').catch((error) => {
    if (isServerError(error, 1141)) return []
    throw error
  })
  for (const row of rows) {
    const grant = Object.values(row)[0] ?? ''
    const everywhere = onAll.exec(grant)
    const here = everywhere ? undefined : onDatabase.exec(grant)
    if (!everywhere && !(here && matches(here[2]!.replaceAll('``', '`'), database))) continue
    const names = (everywhere ?? here)![1]!.toUpperCase().split(/\s*,\s*/)
    for (const name of names) rights.add(name)
    if (!names.includes('ALL PRIVILEGES')) continue
    for (const name of ['SELECT', 'LOCK TABLES']) rights.add(name)
    if (everywhere) for (const name of ['RELOAD', 'PROCESS', 'SUPER']) rights.add(name)
  }
  return rights
}

/** Whether a grant's pattern, with `%`, `_` and `\_`, means this database. */
function matches(pattern: string, database: string): boolean {
  const parts = pattern.replace(/\\?[\s\S]/g, (part) => {
    if (part === '%') return '[\\s\\S]*'
    if (part === '_') return '[\\s\\S]'
    return part.slice(-1).replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
  })
  return new RegExp(`^${parts}$`, 'i').test(database)
}
