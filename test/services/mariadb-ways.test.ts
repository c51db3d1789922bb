import { expect, onTestFinished, test } from 'vitest'
import { createMariadbSample, fingerprintOf } from '../samples/mariadb.ts'
import { makeCertificates } from '../support/certificates.ts'
import { oddDatabase } from '../support/odd-mariadb.ts'
import { type MariadbServer, mariadbServer, startMariadb } from '../support/servers/mariadb.ts'
import { ServiceBench } from '../support/service-bench.ts'
import { smallDisk } from '../support/small-disk.ts'

const id = '01j00000000000000000000000'

async function open(server: MariadbServer, fill = oddDatabase, user: 'root' | 'owner' = 'owner') {
  const bench = await ServiceBench.open({
    type: 'mariadb',
    create: () => createMariadbSample({ user, server, fill }),
  })
  const database = /\/(shop_\w+)\?/.exec(String(bench.live.config['url']))![1]!
  return { bench, database, sql: (text: string) => server.sql(text, database) }
}

async function startServer(settings: readonly string[]): Promise<MariadbServer> {
  const server = await startMariadb({ settings })
  onTestFinished(() => server.stop())
  return server
}

test('where the server takes no files from clients, rows go in by statements, to the last bit', async () => {
  const server = await startServer(['--local-infile=0', '--max-allowed-packet=1M'])
  const { bench, database, sql } = await open(server)
  await sql('INSERT INTO numbered SELECT seq, REPEAT(CHAR(seq % 90 + 33), 10) FROM seq_1000_to_9000')
  const target = await bench.capture()
  const wanted = await fingerprintOf(server, database)
  await bench.live.change(1)
  await sql(
    'UPDATE numbers SET hidden = 1; UPDATE shapes SET p = NULL; UPDATE times SET d = NULL; DELETE FROM numbered',
  )
  await bench.restore(target)
  expect(await fingerprintOf(server, database)).toBe(wanted)
  expect((await bench.probe()).warnings.join()).toContain('SET GLOBAL local_infile = 1')
})

test('behind a command the same server is reached by the same protocol', async () => {
  const server = await mariadbServer()
  const { bench, database } = await open(server)
  const config = { ...bench.live.config, run: ['env', 'WHERE=there'] }
  Object.assign(bench.live, { config })
  const target = await bench.capture()
  const wanted = await fingerprintOf(server, database)
  await bench.live.change(2)
  await bench.restore(target)
  expect(await fingerprintOf(server, database)).toBe(wanted)
  expect((await bench.service()).place).toContain('(by env WHERE=there)')
})

test('a server that only a network namespace leads to is reached by a prefix that enters it', async () => {
  const own = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']
  const server = await startMariadb({
    settings: ['--skip-networking=0', '--bind-address=127.0.0.1', '--port=33061'],
    within: ['unshare', ...own, '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'],
  })
  onTestFinished(() => server.stop())
  const { bench, database } = await open(server, oddDatabase, 'root')
  await server.sql(`CREATE USER there@'127.0.0.1' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO there@'127.0.0.1'`)
  const url = `mysql://there:secret@127.0.0.1:33061/${database}`
  Object.assign(bench.live, { config: { url } })
  await expect(bench.capture()).rejects.toMatchObject({ code: 'unavailable' })
  const enter = [
    'nsenter',
    `--target=${server.pid}`,
    ...(own.length > 0 ? ['--user', '--preserve-credentials'] : []),
    '--net',
  ]
  Object.assign(bench.live, { config: { url, run: enter } })
  const target = await bench.capture()
  const wanted = await fingerprintOf(server, database)
  await bench.live.change(3)
  await bench.restore(target)
  expect(await fingerprintOf(server, database)).toBe(wanted)
})

test('over TLS, with the server held to its certificate', async () => {
  const file = await makeCertificates('ours', 'theirs')
  const server = await startServer([
    `--ssl-cert=${file('ours.pem')}`,
    `--ssl-key=${file('ours.key')}`,
    '--require-secure-transport=OFF',
  ])
  const { bench } = await open(server, 'CREATE TABLE t (i INT);')
  const withOptions = (text: string) =>
    Object.assign(bench.live, { config: { url: `${bench.live.config['url']}${text}` } })
  const url = String(bench.live.config['url'])
  withOptions(`&ssl=verify-ca&sslCa=${file('ours.pem')}`)
  expect((await bench.capture()).presence).toBe('present')
  Object.assign(bench.live, { config: { url: `${url}&ssl=verify-ca&sslCa=${file('theirs.pem')}` } })
  await expect(bench.capture()).rejects.toMatchObject({ code: 'unavailable' })
  Object.assign(bench.live, { config: { url: `${url}&ssl=sometimes` } })
  await expect(bench.capture()).rejects.toMatchObject({ code: 'usage' })
})

test('a reservation keeps others away, and says who has it; the marker leaves the comment alone', async () => {
  const server = await mariadbServer()
  const { bench, database, sql } = await open(server, 'CREATE TABLE t (i INT);')
  const [one, two] = [await bench.service(), await bench.service()]
  const first = await one.reserve!()
  await expect(two.reserve!()).rejects.toThrow(/another git-env works on .*connection \d+ from owner_\d+@localhost/)
  await first.release()
  await (await two.reserve!()).release()
  await sql(`ALTER DATABASE ${database} COMMENT = 'the shop''s [data]'`)
  expect(await one.marker!()).toBeUndefined()
  for (const marker of [{ ref: 'refs/heads/ma"in' }, { ref: 'refs/heads/x', restoring: id }, { ref: 'refs/heads/y' }]) {
    await one.setMarker!(marker)
    expect(await two.marker!()).toEqual(marker)
  }
  const comment = await sql(
    `SELECT SCHEMA_COMMENT c FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '${database}'`,
  )
  expect(comment[0]!['c']).toBe(`the shop's [data] [git-env "refs/heads/y"]`)
  const record = await bench.capture()
  await sql('INSERT INTO t VALUES (1)')
  await bench.restore(record)
  expect(await two.marker!()).toEqual({ ref: 'refs/heads/y' })
})

test('a password is in no error, no record and no journal', async () => {
  const server = await mariadbServer()
  const { bench } = await open(server, 'CREATE TABLE t (i INT);')
  const url = String(bench.live.config['url'])
  const password = decodeURIComponent(/\/\/[^:]+:([^@]+)@/.exec(url)![1]!)
  const target = await bench.capture()
  const texts = [JSON.stringify(target), JSON.stringify(await bench.stage(target)), JSON.stringify(await bench.probe())]
  await (await bench.service()).sweep(id)
  for (const broken of [
    url.replace(/:[^@:]+@/, ':wr0ng-secret@'),
    url.replace(/socketPath=.*/, 'socketPath=/nowhere'),
  ]) {
    Object.assign(bench.live, { config: { url: broken } })
    const error = await bench.capture().catch((reason) => reason)
    expect(error.code).toBe('unavailable')
    texts.push(JSON.stringify([error, error.message, error.stack, error.hint]))
  }
  for (const text of texts) {
    expect(text).not.toContain(password)
    expect(text).not.toContain('wr0ng-secret')
  }
})

test('what another product or a newer version wrote is refused, with the reason', async () => {
  const server = await mariadbServer()
  const { bench } = await open(server, 'CREATE TABLE t (i INT);')
  const target = await bench.capture()
  await expect(bench.stage({ ...target, versions: { mysql: '8.4.1' } })).rejects.toThrow(
    /MySQL 8.4.1, and this is MariaDB/,
  )
  await expect(bench.stage({ ...target, versions: { mariadb: '99.1.1-MariaDB' } })).rejects.toThrow(
    /this server is older/,
  )
  expect(await bench.leftOver()).toEqual([])
})

test('what belongs to another user is refused before anything is loaded, with the grant', async () => {
  const server = await mariadbServer()
  const { bench, sql } = await open(server, 'CREATE TABLE t (i INT);')
  await sql('CREATE VIEW v AS SELECT * FROM t')
  const target = await bench.capture()
  await sql('INSERT INTO t VALUES (1)')
  expect((await bench.restore(target)).presence).toBe('present')
  await sql('DROP VIEW v')
  await expect(bench.stage(target)).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringContaining('v belongs to root@localhost'),
    hint: expect.stringContaining('GRANT SET USER ON *.* TO'),
  })
  expect(await bench.leftOver()).toEqual([])
})

test('what undo could not make again is not taken away', async () => {
  const { bench, sql } = await open(await mariadbServer(), 'CREATE TABLE t (i INT)')
  const without = await bench.capture()
  await sql('CREATE VIEW of_root AS SELECT i FROM t')
  await expect(bench.restore(without)).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringContaining(
      'of_root belongs to root@localhost, and this restore takes it away: undo could not',
    ),
    hint: expect.stringMatching(/^GRANT SET USER .*; or drop of_root yourself$/),
  })
  expect(await bench.leftOver()).toEqual([])
  await sql('DROP VIEW of_root')
  await sql('CREATE TABLE later (i INT); CREATE TRIGGER of_later BEFORE INSERT ON later FOR EACH ROW SET NEW.i = 1')
  await expect(bench.restore(without)).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringContaining('of_later belongs to root@localhost, and this restore takes it away'),
  })
  await sql('DROP TRIGGER of_later')
  await bench.restore(without)
})

test('the server is killed in the middle of staging, or of a swap: nothing is between', async () => {
  const server = await startServer([])
  const { bench, database, sql } = await open(
    server,
    'CREATE TABLE t (i INT PRIMARY KEY, x TEXT) ENGINE=InnoDB;',
    'root',
  )
  await sql('INSERT INTO t SELECT seq, REPEAT(MD5(seq), 20) FROM seq_1_to_20000')
  const target = await bench.capture()
  await sql('DELETE FROM t WHERE i > 10; CREATE TABLE u (i INT)')
  const changed = await fingerprintOf(server, database)
  const safety = await bench.capture()
  const service = await bench.service()
  let bytes = 0
  const failing = service.stage(target, safety, {
    source: bench.content,
    id,
    progress: (count) => {
      bytes += count
      if (bytes > 2_000_000) process.kill(server.pid, 'SIGKILL')
    },
  })
  await expect(failing).rejects.toMatchObject({ code: 'unavailable' })
  await server.restart()
  expect(await fingerprintOf(server, database)).toBe(changed)
  await (await bench.service()).sweep(id)
  expect(await bench.leftOver()).toEqual([])

  const staged = await bench.stage(target, safety)
  const swap = await bench.swap(staged)
  await swap.prepare!()
  await swap.hold(1000)
  await swap.lastCapture()
  const forward = swap.forward()
  setTimeout(() => process.kill(server.pid, 'SIGKILL'), 5)
  await forward.catch(() => {})
  await server.restart()
  const again = await bench.swap(staged)
  expect(['before', 'between', 'after']).toContain(await again.inspect())
  await bench.finish(again)
  expect((await bench.capture()).objects).toEqual(target.objects)
  await again.discard()
  expect(await bench.leftOver()).toEqual([])
})

test('a full disk during staging is said, and leaves nothing behind', async () => {
  let server: MariadbServer | undefined
  const disk = await smallDisk('260M', async () => {
    server?.stop()
    await server?.ended
  })
  // Without the right to mount there is no small disk to fill; the room is asked for before staging all the same.
  if (!disk) return expect(process.getuid?.()).not.toBe(0)
  server = await startMariadb({
    directory: disk.directory,
    settings: ['--innodb-log-file-size=8M', '--innodb-temp-data-file-path=ibtmp1:4M:autoextend'],
  })
  const { bench, database, sql } = await open(
    server,
    'CREATE TABLE t (i INT PRIMARY KEY, x TEXT) ENGINE=InnoDB;',
    'root',
  )
  await sql('INSERT INTO t SELECT seq, REPEAT(MD5(seq), 60) FROM seq_1_to_20000')
  const target = await bench.capture()
  await sql('UPDATE t SET x = 1')
  const changed = await fingerprintOf(server, database)
  disk.fill(12_000_000)
  await expect(bench.stage(target)).rejects.toMatchObject({ code: 'unavailable' })
  disk.empty()
  expect(await fingerprintOf(server, database)).toBe(changed)
  expect(await bench.leftOver()).toEqual([])
})
