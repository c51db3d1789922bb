import { hash } from 'node:crypto'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import type { DriverSample, LiveSample } from '../contract/service-driver.ts'
import { startMariadbWriter } from '../support/mariadb-writer.ts'
import { oddChange, oddDatabase } from '../support/odd-mariadb.ts'
import { type MariadbServer, mariadbServer } from '../support/servers/mariadb.ts'
import { temporaryDirectory } from '../support/temporary.ts'

export const sample: DriverSample = { type: 'mariadb', create: () => createMariadbSample({ user: 'root' }) }

export type MariadbSampleOptions = {
  /** `root`, or a user who owns this one database and nothing else. */
  readonly user: 'root' | 'owner'
  readonly server?: MariadbServer
  readonly fill?: string
}

let count = 0

/** A database of its own in the test's server, beside a stranger's. */
export async function createMariadbSample(options: MariadbSampleOptions): Promise<LiveSample> {
  const server = options.server ?? (await mariadbServer())
  const projectDirectory = await temporaryDirectory()
  const name = `shop_${process.pid}_${++count}`
  const user = options.user === 'root' ? 'root' : `owner_${count}`
  const password = `p%a@s/s:w'o"r\\d?#${count}`
  await server.sql(`CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4; CREATE DATABASE \`${name}x\`;`)
  await server.sql('CREATE TABLE other (i INT); INSERT INTO other VALUES (1)', `${name}x`)
  const account = `'${user}'@'localhost'`
  if (user !== 'root') {
    await server.sql(
      `CREATE USER ${account} IDENTIFIED BY '${password.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'; GRANT ALL PRIVILEGES ON \`${name.replaceAll('_', '\\_')}\`.* TO ${account};`,
    )
  }
  onTestFinished(async () => {
    await server.sql(`DROP DATABASE IF EXISTS \`${name}\`; DROP DATABASE IF EXISTS \`${name}x\`;`)
    if (user !== 'root') await server.sql(`DROP USER ${account}`)
  })
  // What others defined, an owner of one database may not define again.
  const asOwner = (text: string) =>
    text.replaceAll(/\bCREATE +(FUNCTION|PROCEDURE|TRIGGER|EVENT|VIEW|OR REPLACE VIEW)\b/gi, (all, kind: string) =>
      user === 'root'
        ? all
        : `CREATE ${kind.replace('VIEW', '')} DEFINER=${account} ${/VIEW/.test(kind) ? 'VIEW' : kind}`.replace(
            `${kind} DEFINER=${account} ${kind}`,
            `DEFINER=${account} ${kind}`,
          ),
    )
  await server.sql(asOwner(options.fill ?? oddDatabase), name)
  const credentials = user === 'root' ? 'root' : `${user}:${encodeURIComponent(password)}`
  return {
    config: { url: `mysql://${credentials}@localhost/${name}?socketPath=${encodeURIComponent(server.socketPath)}` },
    projectDirectory,
    context: { allowed: true },
    change: async (seed) => {
      await server.sql(asOwner(oddChange(seed)), name)
    },
    fingerprint: () => fingerprintOf(server, name),
    strangers: async () => {
      const rows = await server.sql('SHOW DATABASES')
      const others = rows.map((row) => String(Object.values(row)[0])).filter((each) => !each.startsWith('shop_'))
      return JSON.stringify([others, await fingerprintOf(server, `${name}x`)])
    },
    leftOver: async (id) => {
      const rows = await server.sql(
        `SELECT TABLE_NAME n FROM information_schema.TABLES WHERE TABLE_NAME LIKE '%${id}%' UNION SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_NAME LIKE '%${id}%'
         UNION SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '%${id}%' UNION SELECT CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS WHERE CONSTRAINT_NAME LIKE '%${id}%'`,
      )
      return rows.map((row) => String(row['n']))
    },
    remove: async () => {
      await server.sql(`DROP DATABASE \`${name}\``)
    },
    ruins: {},
    startWriter: () => startMariadbWriter({ socketPath: server.socketPath, database: name }),
    written: async () => {
      const there = await server.sql(`SHOW TABLES LIKE 'written'`, name)
      if (there.length === 0) return []
      return (await server.sql('SELECT number FROM written ORDER BY number', name)).map((row) => Number(row['number']))
    },
    fingerprintExport: async (directory, [first]) => {
      await server.sql(`CREATE DATABASE \`${name}e\` CHARACTER SET utf8mb4`)
      // The views' own user must reach the tables there too.
      if (user !== 'root') await server.sql(`GRANT ALL PRIVILEGES ON \`${name}e\`.* TO ${account}`)
      try {
        server.feed(path.join(directory, first!), `${name}e`)
        return await fingerprintOf(server, `${name}e`, name)
      } finally {
        await server.sql(`DROP DATABASE \`${name}e\``)
      }
    },
  }
}

/** What the server's own dump tool says, and its own checksums; not of what git-env itself has there. */
export async function fingerprintOf(server: MariadbServer, name: string, asIf = name): Promise<string> {
  const rows = await server.sql(
    `SELECT TABLE_NAME n, TABLE_TYPE t FROM information_schema.TABLES WHERE TABLE_SCHEMA = '${name}' ORDER BY TABLE_NAME`,
  )
  const there = await server.sql(`SHOW DATABASES LIKE '${name.replaceAll('_', '\\_')}'`)
  if (there.length === 0) return 'absent'
  const isOurs = (table: unknown) => /git_env_/.test(String(table))
  const ours = rows.filter((row) => isOurs(row['n'])).map((row) => String(row['n']))
  if (ours.some((each) => /_(created|gone)$/.test(each)) && ours.length === rows.length) return 'absent'
  const tables = rows.filter((row) => !isOurs(row['n']) && /TABLE|SYSTEM VERSIONED/.test(String(row['t'])))
  const list = tables.map((row) => `\`${String(row['n']).replaceAll('`', '``')}\``).join(', ')
  const sums = list === '' ? [] : await server.sql(`CHECKSUM TABLE ${list}`, name)
  const dump = server.dump(
    ...['--hex-blob', '--routines', '--events', '--triggers', '--skip-dump-date', '--skip-comments', '--dump-history'],
    ...[
      '--order-by-primary',
      '--single-transaction',
      '--skip-extended-insert',
      ...ours.map((each) => `--ignore-table=${name}.${each}`),
      name,
    ],
  )
  const text = JSON.stringify([sums.map((row) => [String(row['Table']).slice(name.length), row['Checksum']]), dump])
  if (process.env['KEEP_FINGERPRINT']) writeFingerprint(text)
  return hash('sha256', text.replaceAll(`\`${name}\``, `\`${asIf}\``))
}

let written = 0
function writeFingerprint(text: string): void {
  process
    .getBuiltinModule('node:fs')
    .writeFileSync(`${process.env['KEEP_FINGERPRINT']}.${++written}`, JSON.parse(text).flat(2).join('\n'))
}
