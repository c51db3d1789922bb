import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { findProgram } from '../test/support/servers/install.ts'
import { type MariadbServer, startMariadb } from '../test/support/servers/mariadb.ts'
import { command, compared, restore, seconds, startAnew } from './commands.ts'
import { mariadbLoad } from './mariadb-load.ts'
import { measure, median, table } from './measure.ts'
import { git } from './project.ts'

const tables = 10
/** About 100 MB each, as text. */
const rowsPerTable = 640_000
const snapshotsUnderLoad = 20
const database = 'shop'

const settings = ['--innodb-buffer-pool-size=1500M', '--innodb-log-file-size=1G', '--max-allowed-packet=64M']

/** A database of about 1 GB: git-env beside mariadb-dump and the client, and what writers notice. */
export async function benchMariadb(directory: string): Promise<void> {
  findProgram('zstd', 'zstd')
  const server = await startMariadb({ durable: true, settings, directory })
  try {
    await fill(server)
    const project = path.join(directory, 'project')
    makeProject(project, server)
    const rows = [
      ...(await snapshotRows(server, project, directory)),
      ...(await restoreRows(server, project, directory)),
      ...(await loadRows(server, project)),
    ]
    const [size] = await server.sql(
      `SELECT ROUND(SUM(DATA_LENGTH + INDEX_LENGTH) / 1048576) mib FROM information_schema.TABLES WHERE TABLE_SCHEMA = '${database}'`,
    )
    const title = `MariaDB, ${tables} tables of ${rowsPerTable} rows, ${size!['mib']} MiB on disk with indexes, one run`
    process.stdout.write(`\n${title}\n\n${table(['', 'git env', 'beside it', 'ratio'], rows)}\n`)
  } finally {
    server.stop()
    await server.ended
  }
}

async function fill(server: MariadbServer): Promise<void> {
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
}

function makeProject(project: string, server: MariadbServer): void {
  mkdirSync(project, { recursive: true })
  git(project, ['init', '-q', '-b', 'main'])
  const url = `mysql://root@localhost/${database}?socketPath=${encodeURIComponent(server.socketPath)}`
  writeFileSync(
    path.join(project, '.git-env.yaml'),
    `services:\n  db: { type: mariadb, url: ${JSON.stringify(url)} }\n`,
  )
  git(project, ['add', '.'])
  git(project, ['commit', '-qm', 'first'])
}

async function snapshotRows(server: MariadbServer, project: string, directory: string): Promise<string[][]> {
  const ours: number[] = []
  const theirs: number[] = []
  const archive = path.join(directory, 'shop.sql.zst')
  for (let run = 0; run < 2; run++) {
    await startAnew(project)
    ours.push((await command(project, 'snapshot', '--side', '-m', 'bench')).seconds)
    const dump = `mariadb-dump --no-defaults -u root --socket=${server.socketPath} --single-transaction --quick ${database} | zstd -q -3 -f -o ${archive}`
    theirs.push((await measure('sh', ['-c', dump], { cwd: directory })).seconds)
  }
  const again = await command(project, 'snapshot', '--side', '-m', 'again')
  return [
    compared('first snapshot, mariadb-dump | zstd -3', median(ours), median(theirs)),
    [`a second one, ${Math.round(statSync(archive).size / 2 ** 20)} MiB is the dump`, seconds(again.seconds), '', ''],
  ]
}

async function restoreRows(server: MariadbServer, project: string, directory: string): Promise<string[][]> {
  const plain = path.join(directory, 'shop.sql')
  const dump = `mariadb-dump --no-defaults -u root --socket=${server.socketPath} --single-transaction --quick ${database} > ${plain}`
  await measure('sh', ['-c', dump], { cwd: directory })
  await server.sql('CREATE DATABASE beside')
  const feed = `mariadb --no-defaults -u root --socket=${server.socketPath} beside < ${plain}`
  const theirs = await measure('sh', ['-c', feed], { cwd: directory })
  await server.sql('DROP DATABASE beside')
  rmSync(plain)
  for (let nr = 0; nr < tables; nr++) {
    await server.sql(`UPDATE part_${nr} SET note = CONCAT(note, '!') WHERE id % 100 = 0`, database)
  }
  await settle()
  const full = await restore(project)
  await server.sql(`UPDATE part_4 SET note = CONCAT(note, '!') WHERE id % 100 = 7`, database)
  await settle()
  const little = await restore(project)
  return [
    compared('full restore, the plain dump fed to mariadb', full.seconds, theirs.seconds),
    ['  the safety snapshot before it', seconds(full.safety), '', ''],
    [
      'restore after 1 % of the rows of one table',
      seconds(little.seconds),
      `${seconds(full.seconds)} in full`,
      (full.seconds / little.seconds).toFixed(1),
    ],
    ['  the safety snapshot before it', seconds(little.safety), '', ''],
  ]
}

/** Times of last writes are in whole seconds. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 3000))
}

/** What writers wait while snapshots are taken, and at most in a swap. */
async function loadRows(server: MariadbServer, project: string): Promise<string[][]> {
  const load = await mariadbLoad({ socketPath: server.socketPath, user: 'root', database })
  const freezes: number[] = []
  for (let run = 0; run < snapshotsUnderLoad; run++) {
    const { at } = await command(project, 'snapshot', '--side', '-m', `under load ${run}`)
    freezes.push(load.longestWaitAt(at.get('snapshot: point taken')!))
  }
  const quiet = load.usual()
  const { at } = await command(project, 'restore', '--yes', '--data-only')
  const inSwap = load.longestBetween(at.get('swap: prepared')! - 1000, at.get('swap: released')! + 500)
  await load.stop()
  freezes.sort((a, b) => a - b)
  return [
    [
      `freeze under load, p95 of ${snapshotsUnderLoad} (longest wait around the point)`,
      `${freezes[Math.ceil(freezes.length * 0.95) - 1]!.toFixed(1)} ms`,
      `${quiet.toFixed(1)} ms: p95 of all writes`,
      '',
    ],
    ['  median', `${median(freezes).toFixed(1)} ms`, '', ''],
    ['longest wait in a swap, two tables of ten', `${inSwap.toFixed(0)} ms`, '', ''],
  ]
}
