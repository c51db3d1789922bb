import { rmSync } from 'node:fs'
import path from 'node:path'
import { findProgram } from '../test/support/servers/install.ts'
import { type MariadbServer, startMariadb } from '../test/support/servers/mariadb.ts'
import { mariadbLoad } from './mariadb-load.ts'
import { measure, table } from './measure.ts'
import {
  database,
  freezeRows,
  longestInSwap,
  makeProject,
  restoreRows,
  rowsPerTable,
  snapshotRows,
  tables,
} from './shop.ts'

const settings = ['--innodb-buffer-pool-size=1500M', '--innodb-log-file-size=1G', '--max-allowed-packet=64M']

/** A database of about 1 GB: git-env beside mariadb-dump and the client, and what writers notice. */
export async function benchMariadb(directory: string): Promise<void> {
  findProgram('zstd', 'zstd')
  const server = await startShop(directory)
  try {
    const project = path.join(directory, 'project')
    makeProject(project, ['services:', serviceLine(server)])
    const [size] = await server.sql(
      `SELECT ROUND(SUM(DATA_LENGTH + INDEX_LENGTH) / 1048576) mib FROM information_schema.TABLES WHERE TABLE_SCHEMA = '${database}'`,
    )
    const title = `MariaDB, ${tables} tables of ${rowsPerTable} rows, ${size!['mib']} MiB on disk with indexes, one run`
    process.stdout.write(`\n${title}\n`)
    for (const part of [snapshots, restores, underLoad]) {
      const rows = await part(server, project, directory)
      process.stdout.write(`\n${table(['', 'git env', 'beside it', 'ratio'], rows)}\n`)
    }
  } finally {
    server.stop()
    await server.ended
  }
}

export function serviceLine(server: MariadbServer): string {
  const url = `mysql://root@localhost/${database}?socketPath=${encodeURIComponent(server.socketPath)}`
  return `  shop: { type: mariadb, url: ${JSON.stringify(url)} }`
}

/** A server with the filled database. */
export async function startShop(directory: string): Promise<MariadbServer> {
  const server = await startMariadb({ durable: true, settings, directory })
  await server.sql(`CREATE DATABASE ${database} CHARACTER SET utf8mb4`)
  for (let nr = 0; nr < tables; nr++) {
    const key =
      nr % 2 === 1 ? `, KEY (other), CONSTRAINT fk_${nr} FOREIGN KEY (other) REFERENCES part_${nr - 1} (id)` : ''
    await server.sql(
      `CREATE TABLE part_${nr} (id INT PRIMARY KEY, other INT NOT NULL, name VARCHAR(40) NOT NULL, note VARCHAR(200) NOT NULL, price DECIMAL(10, 2), at DATETIME NOT NULL, KEY (name)${key}) ENGINE=InnoDB;
       SET unique_checks = 0, foreign_key_checks = 0;
       INSERT INTO part_${nr} SELECT seq, 1 + (seq * 7919) % ${rowsPerTable}, MD5(seq), CONCAT(MD5(seq * 3 + ${nr}), ' lorem ipsum dolor sit amet ', MD5(seq + ${nr})), (seq % 100000) / 100, '2026-01-01' + INTERVAL seq SECOND FROM seq_1_to_${rowsPerTable}`,
      database,
    )
  }
  await server.sql(
    'CREATE TABLE written (number BIGINT PRIMARY KEY, writer INT, text VARCHAR(40)) ENGINE=InnoDB',
    database,
  )
  return server
}

function snapshots(server: MariadbServer, project: string, directory: string): Promise<string[][]> {
  const archive = path.join(directory, 'shop.sql.zst')
  const dump = `${dumpOf(server)} | zstd -q -3 -f -o ${archive}`
  return snapshotRows(project, 'mariadb-dump | zstd -3', archive, () => measure('sh', ['-c', dump], { cwd: directory }))
}

function dumpOf(server: MariadbServer): string {
  return `mariadb-dump --no-defaults -u root --socket=${server.socketPath} --single-transaction --quick ${database}`
}

async function restores(server: MariadbServer, project: string, directory: string): Promise<string[][]> {
  const plain = path.join(directory, 'shop.sql')
  await measure('sh', ['-c', `${dumpOf(server)} > ${plain}`], { cwd: directory })
  await server.sql('CREATE DATABASE beside')
  const feed = `mariadb --no-defaults -u root --socket=${server.socketPath} beside < ${plain}`
  const theirs = await measure('sh', ['-c', feed], { cwd: directory })
  await server.sql('DROP DATABASE beside')
  rmSync(plain)
  const change = (nr: number, rest: number) =>
    server.sql(`UPDATE part_${nr} SET note = CONCAT(note, '!') WHERE id % 100 = ${rest}`, database)
  return restoreRows(project, 'the plain dump fed to mariadb', theirs.seconds, {
    everything: async () => {
      for (let nr = 0; nr < tables; nr++) await change(nr, 0)
    },
    little: async () => void (await change(4, 7)),
    // Times of last writes are in whole seconds.
    settle: () => new Promise((resolve) => setTimeout(resolve, 3000)),
  })
}

/** What writers wait while snapshots are taken, and at most in a swap. */
async function underLoad(server: MariadbServer, project: string): Promise<string[][]> {
  const load = await mariadbLoad({ socketPath: server.socketPath, user: 'root', database })
  const rows = await freezeRows(project, { MariaDB: load })
  rows.push(['longest wait in a swap, two tables of ten', await longestInSwap(project, load), '', ''])
  await load.stop()
  return rows
}
