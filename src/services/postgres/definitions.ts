import { canonicalJson, type Json } from '../../domain/canonical-json.ts'
import { EnvError } from '../../domain/errors.ts'
import { type Entry, entriesOf } from './entries.ts'
import type { Link } from './link.ts'
import { type Dumper, dump } from './programs.ts'
import type { Session } from './session.ts'
import { quoteName, quoteText } from './sql.ts'

/** Everything of a database that is not rows. Plain data: the stream `schema` is its canonical JSON. */
export type Definitions = {
  readonly version: 1
  readonly database: DatabaseProperties
  /** To be made before the rows come, in this order; and after them. */
  readonly before: readonly Entry[]
  readonly after: readonly Entry[]
  /** Materialised views that had been filled, in an order in which they can be. */
  readonly filled: readonly (readonly [schema: string, name: string])[]
}

export type DatabaseProperties = {
  readonly encoding: string
  readonly collate: string
  readonly ctype: string
  /** `libc` or `icu`, and the latter's locale. */
  readonly provider: string
  readonly locale: string
  readonly owner: string
  readonly comment: string
  readonly connectionLimit: number
  /** Grants other than the usual ones; null where there are only those. An empty grantee is everybody. */
  readonly grants: readonly (readonly [grantee: string, privilege: string, grantable: boolean])[] | null
  /** `ALTER DATABASE … SET`, or `ALTER ROLE … IN DATABASE … SET` where a role is given. */
  readonly settings: readonly (readonly [role: string, setting: string])[]
  /** What every new database has, and this one has not: statements that take it away. */
  readonly without: readonly string[]
}

/** Ours, kept where no dump of a database shows it. */
export const markerSetting = 'git_env.marker'

export type DefinitionsRequest = {
  readonly session: Session
  readonly major: number
  readonly dumper: Dumper
  /** An exported snapshot: the definitions as they were then. */
  readonly snapshot?: string
  readonly signal: AbortSignal
}

/** Rows and subscriptions are not in it; those hold another server's password and cannot be had twice. */
const words = ['--no-subscriptions', '-b']

export async function readDefinitions(link: Link, request: DefinitionsRequest): Promise<Definitions> {
  const described = await describeDatabase(request.session, request.major)
  return { ...described, ...(await dumpEntries(link, request)) }
}

/** The part that queries give. */
export async function describeDatabase(
  session: Session,
  major: number,
): Promise<Pick<Definitions, 'version' | 'database' | 'filled'>> {
  return { version: 1, database: await readProperties(session, major), filled: await filledViews(session) }
}

/** The part that pg_dump gives. */
export async function dumpEntries(
  link: Link,
  { session, dumper, snapshot, signal }: DefinitionsRequest,
): Promise<Pick<Definitions, 'before' | 'after'>> {
  const entrance = await link.entrance()
  const section = async (name: string) => {
    const more = [...words, `--section=${name}`, ...(snapshot === undefined ? [] : [`--snapshot=${snapshot}`])]
    return entriesOf(await dump(dumper, link.server, entrance, { database: session.database, words: more, signal }))
      .entries
  }
  const [before, after] = await Promise.all([section('pre-data'), section('post-data')])
  // Views are filled by us, before there are event triggers to watch it.
  return { before, after: after.filter((entry) => entry.type !== 'MATERIALIZED VIEW DATA') }
}

async function readProperties(session: Session, major: number): Promise<DatabaseProperties> {
  const provider =
    major >= 15 ? `CASE d.datlocprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END` : `'libc'`
  const locale = major >= 17 ? 'd.datlocale' : major >= 15 ? 'd.daticulocale' : 'NULL'
  const row = await session.one(`
    SELECT pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS collate, d.datctype AS ctype, ${provider} AS provider, ${locale} AS locale,
      pg_get_userbyid(d.datdba) AS owner, shobj_description(d.oid, 'pg_database') AS comment, d.datconnlimit AS limit,
      (SELECT json_agg(json_build_array(CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END, a.privilege_type, a.is_grantable)
         ORDER BY CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END COLLATE "C", a.privilege_type COLLATE "C")
       FROM aclexplode(d.datacl) a) AS grants,
      (SELECT json_agg(json_build_array(CASE s.setrole WHEN 0 THEN '' ELSE pg_get_userbyid(s.setrole)::text END, c)
         ORDER BY CASE s.setrole WHEN 0 THEN '' ELSE pg_get_userbyid(s.setrole)::text END COLLATE "C", c COLLATE "C")
       FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE s.setdatabase = d.oid AND c NOT LIKE '${markerSetting}=%') AS settings,
      (SELECT json_agg(w ORDER BY w) FROM (
        SELECT 'DROP SCHEMA public' AS w WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public')
        UNION ALL SELECT 'DROP EXTENSION plpgsql' WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'plpgsql')) x) AS without
    FROM pg_database d WHERE d.datname = current_database()`)
  return {
    encoding: row['encoding']!,
    collate: row['collate'] ?? '',
    ctype: row['ctype'] ?? '',
    provider: row['provider']!,
    locale: row['locale'] ?? '',
    owner: row['owner']!,
    comment: row['comment'] ?? '',
    connectionLimit: Number(row['limit']),
    grants: JSON.parse(row['grants'] ?? 'null') as DatabaseProperties['grants'],
    settings: JSON.parse(row['settings'] ?? '[]') as DatabaseProperties['settings'],
    without: JSON.parse(row['without'] ?? '[]') as string[],
  }
}

/** Ordered by what they read from. */
async function filledViews(session: Session): Promise<Definitions['filled']> {
  const rows = await session.query(`
    WITH RECURSIVE reads AS (
      SELECT DISTINCT r.ev_class AS view, d.refobjid AS source FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
      WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
    ), depth AS (
      SELECT c.oid, 0 AS level FROM pg_class c WHERE c.relkind IN ('m', 'v')
      UNION SELECT reads.view, depth.level + 1 FROM depth JOIN reads ON reads.source = depth.oid WHERE depth.level < 1000
    )
    SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN (SELECT oid, max(level) AS level FROM depth GROUP BY oid) d ON d.oid = c.oid
    WHERE c.relkind = 'm' AND c.relispopulated ORDER BY d.level, n.nspname COLLATE "C", c.relname COLLATE "C"`)
  return rows.map((row) => [row['schema']!, row['name']!] as const)
}

export function encodeDefinitions(definitions: Definitions): Uint8Array {
  return Buffer.from(canonicalJson(definitions as unknown as Json))
}

export async function decodeDefinitions(bytes: AsyncIterable<Uint8Array>, name: string): Promise<Definitions> {
  const parts: Uint8Array[] = []
  for await (const part of bytes) parts.push(part)
  const definitions = JSON.parse(Buffer.concat(parts).toString('utf8')) as Definitions
  if (definitions.version !== 1) {
    throw new EnvError('refused', `${name}: its definitions are of a newer format (${String(definitions.version)})`, {
      hint: 'update git-env',
    })
  }
  return definitions
}

/** Statements that give a database, by whatever name, the properties that are not given when it is made. */
export function propertyStatements(database: string, properties: DatabaseProperties, user: string): string[] {
  const name = quoteName(database)
  const statements = [`ALTER DATABASE ${name} CONNECTION LIMIT ${properties.connectionLimit}`]
  if (properties.comment !== '') statements.push(`COMMENT ON DATABASE ${name} IS ${quoteText(properties.comment)}`)
  for (const [role, setting] of properties.settings) {
    const [key = '', ...rest] = setting.split('=')
    const whose = role === '' ? `DATABASE ${name}` : `ROLE ${quoteName(role)} IN DATABASE ${name}`
    statements.push(
      `ALTER ${whose} SET ${key.split('.').map(quoteName).join('.')} TO ${settingValue(key, rest.join('='))}`,
    )
  }
  if (properties.grants) {
    statements.push(`REVOKE ALL ON DATABASE ${name} FROM PUBLIC`)
    for (const [grantee, privilege, grantable] of properties.grants) {
      if (grantee === properties.owner) continue
      const to = grantee === '' ? 'PUBLIC' : quoteName(grantee)
      statements.push(`GRANT ${privilege} ON DATABASE ${name} TO ${to}${grantable ? ' WITH GRANT OPTION' : ''}`)
    }
  }
  if (properties.owner !== user) statements.push(`ALTER DATABASE ${name} OWNER TO ${quoteName(properties.owner)}`)
  return statements
}

/** Settings that are lists of names hold them quoted already. */
function settingValue(key: string, value: string): string {
  const isList =
    /^(search_path|temp_tablespaces|(session|shared|local)_preload_libraries|unix_socket_directories)$/i.test(key)
  return isList && value !== '' ? value : quoteText(value)
}

export function createDatabaseStatement(database: string, properties: DatabaseProperties, major: number): string {
  const { encoding, collate, ctype, provider, locale } = properties
  const words = [
    `CREATE DATABASE ${quoteName(database)} TEMPLATE template0 ENCODING ${quoteText(encoding)}`,
    `LC_COLLATE ${quoteText(collate)} LC_CTYPE ${quoteText(ctype)}`,
  ]
  if (major >= 15 && provider !== 'libc') {
    words.push(
      `LOCALE_PROVIDER ${provider} ${provider === 'icu' ? 'ICU_LOCALE' : 'BUILTIN_LOCALE'} ${quoteText(locale)}`,
    )
  }
  return words.join(' ')
}

/** Whether two databases are defined alike, whatever the order in which that is written down. */
export function sameDefinitions(a: Definitions, b: Definitions): boolean {
  return essence(a) === essence(b)
}

function essence({ database, before, after, filled }: Definitions): string {
  const entries = (list: readonly Entry[]) => list.map((entry) => canonicalJson(entry)).toSorted()
  return JSON.stringify([
    canonicalJson(database as unknown as Json),
    entries(before),
    entries(after),
    filled.map(String).toSorted(),
  ])
}
