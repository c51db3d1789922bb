import { type AddressInfo, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { common } from '../samples/postgres.ts'
import { makeCertificates } from '../support/certificates.ts'
import { type PostgresServer, startPostgres } from '../support/servers/postgres.ts'
import { restoreId, ServiceBench } from '../support/service-bench.ts'
import { smallDisk } from '../support/small-disk.ts'
import { temporaryDirectory } from '../support/temporary.ts'

let count = 0

/** A plain database: what a crash takes from a database by design, such as unlogged tables, is not in it. */
async function open(server: PostgresServer) {
  const name = `plain_${++count}`
  await server.run('postgres', `CREATE DATABASE ${name}`, `CREATE DATABASE ${name}_new`)
  await server.run(name, 'CREATE TABLE public.small (id integer PRIMARY KEY)', 'INSERT INTO small VALUES (1), (2)')
  const projectDirectory = await temporaryDirectory()
  const create = async () => ({
    ...common(server, name, `${name}_new`, projectDirectory),
    config: { url: server.url(name) },
    change: async () => {},
  })
  const bench = await ServiceBench.open({ type: 'postgres', create })
  return { bench, database: name, run: (...statements: string[]) => server.run(name, ...statements) }
}

async function startServer(...settings: string[]): Promise<PostgresServer> {
  const server = await startPostgres(['fsync=off', ...settings])
  onTestFinished(() => server.stop())
  return server
}

/** A session that dies of SIGKILL takes all others with it: the server ends every one and recovers from its log, as after a crash. */
async function crash(server: PostgresServer, database: string): Promise<void> {
  const client = await server.connect(database)
  const { rows } = await client.query(
    `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY backend_start DESC LIMIT 1`,
  )
  const ended = new Promise((resolve) => client.once('end', resolve))
  const own = await client.query('SELECT pg_backend_pid() AS pid')
  process.kill(Number((rows[0] ?? own.rows[0]).pid), 'SIGKILL')
  await ended
  for (let attempt = 1; ; attempt++) {
    try {
      return await (await server.connect(database)).end()
    } catch (error) {
      if (attempt > 200) throw error
      await sleep(50)
    }
  }
}

const large = `CREATE TABLE public.large AS SELECT g AS id, repeat(md5(g::text), 4) AS text FROM generate_series(1, 60000) g`

describe('the server crashes', () => {
  test.each(['rows', 'names'])('in the middle of staging (%s): the live database is as it was', async (way) => {
    const server = await startServer()
    const { bench, database, run } = await open(server)
    await run(large)
    const target = await bench.capture()
    await run(way === 'rows' ? 'DELETE FROM public.large WHERE id % 2 = 0' : 'ALTER TABLE public.large ADD more int')
    const safety = await bench.capture()
    const changed = await bench.live.fingerprint()
    const service = await bench.service()
    let crashed: Promise<void> | undefined
    const options = { source: bench.content, id: restoreId }
    const staging = service.stage(target, safety, {
      ...options,
      progress: () => {
        crashed ??= crash(server, database)
      },
    })
    // Rows are staged from what is stored alone: that does not need the server.
    if (way === 'names') await expect(staging).rejects.toMatchObject({ code: 'unavailable' })
    else await staging
    await crashed
    expect(await bench.live.fingerprint()).toBe(changed)
    await (await bench.service()).sweep(restoreId)
    expect(await bench.leftOver()).toEqual([])
  })

  test.each(['rows', 'names'])(
    'in the middle of the swap (%s): before or after, and it can be finished',
    async (way) => {
      const server = await startServer()
      const { bench, run } = await open(server)
      await run(large)
      const good = await bench.live.fingerprint()
      const target = await bench.capture()
      for (const delayMs of [0, 3, 10, 40]) {
        await run(
          way === 'rows'
            ? 'DELETE FROM public.large WHERE id % 2 = 0'
            : 'ALTER TABLE public.large ADD IF NOT EXISTS more int',
        )
        const changed = await bench.live.fingerprint()
        const safety = await bench.capture()
        const staged = await bench.stage(target, safety)
        expect(staged).toMatchObject({ way: way === 'rows' ? 'in place' : 'rename' })
        const swap = await bench.swap(staged)
        await swap.prepare?.()
        await swap.hold(5000)
        await swap.lastCapture()
        const forward = swap.forward()
        forward.catch(() => {})
        await sleep(delayMs)
        await crash(server, 'postgres')
        await forward.catch(() => {})
        await swap.release().catch(() => {})
        const again = await bench.swap(staged)
        const state = await again.inspect()
        expect(await bench.live.fingerprint()).toBe(state === 'after' ? good : changed)
        await bench.finish(again)
        expect(await bench.live.fingerprint()).toBe(good)
        await again.discard()
        expect(await bench.leftOver()).toEqual([])
      }
    },
  )
})

test('a full disk during staging is said, and leaves nothing behind', async () => {
  let server: PostgresServer | undefined
  const disk = await smallDisk('400M', async () => void (await server?.stop()))
  // Without the right to mount there is no small disk to fill.
  if (!disk) return expect(process.getuid?.()).not.toBe(0)
  server = await startPostgres(['fsync=off', 'max_wal_size=64MB'], { place: disk.directory })
  const { bench, run } = await open(server)
  await run(
    `CREATE TABLE public.large AS SELECT g AS id, repeat(md5(g::text), 8) AS text FROM generate_series(1, 150000) g`,
  )
  const target = await bench.capture()
  await run('ALTER TABLE public.large ADD more int')
  const changed = await bench.live.fingerprint()
  disk.fill(35_000_000)
  await expect(bench.stage(target)).rejects.toMatchObject({ code: 'unavailable', message: /space|full/i })
  disk.empty()
  expect(await bench.live.fingerprint()).toBe(changed)
  await (await bench.service()).sweep(restoreId)
  expect(await bench.leftOver()).toEqual([])
})

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

test('over TLS, with the server held to its certificate', async () => {
  const file = await makeCertificates('ours', 'theirs')
  const port = await freePort()
  const server = await startPostgres(['fsync=off', 'listen_addresses=127.0.0.1', `port=${port}`], {
    certificate: { pem: file('ours.pem'), key: file('ours.key') },
  })
  onTestFinished(() => server.stop())
  const { bench, database } = await open(server)
  await server.run('postgres', `CREATE ROLE tls SUPERUSER LOGIN PASSWORD 'secret'`)
  const url = `postgres://tls:secret@localhost:${port}/${encodeURIComponent(database)}`
  const use = (query: string) => Object.assign(bench.live, { config: { url: `${url}?${query}` } })
  for (const mode of ['require', 'verify-ca', 'verify-full']) {
    use(`sslmode=${mode}&sslrootcert=${file('ours.pem')}`)
    expect((await bench.capture()).presence).toBe('present')
  }
  use(`sslmode=verify-full&sslrootcert=${file('theirs.pem')}`)
  await expect(bench.capture()).rejects.toMatchObject({ code: 'unavailable', message: /certificate/i })
  use('sslmode=sometimes')
  await expect(bench.capture()).rejects.toMatchObject({ code: 'usage' })
})
