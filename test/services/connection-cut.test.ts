import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { LiveSample } from '../contract/service-driver.ts'
import { createMariadbSample } from '../samples/mariadb.ts'
import { common } from '../samples/postgres.ts'
import { type Cuttable, cuttable } from '../support/cuttable.ts'
import { mariadbServer } from '../support/servers/mariadb.ts'
import { sharedPostgres } from '../support/servers/postgres.ts'
import { restoreId, ServiceBench } from '../support/service-bench.ts'
import { temporaryDirectory } from '../support/temporary.ts'

type Shop = { readonly bench: ServiceBench; readonly way: Cuttable; run(sql: string): Promise<unknown> }

let count = 0

async function benchOf(type: string, live: LiveSample, way: Cuttable, run: Shop['run']): Promise<Shop> {
  return { bench: await ServiceBench.open({ type, create: async () => live }), way, run }
}

async function mariadbShop(): Promise<Shop> {
  const server = await mariadbServer()
  const way = await cuttable(server.socketPath)
  const fill = `CREATE TABLE large (id INT PRIMARY KEY, text VARCHAR(255)) ENGINE=InnoDB;
    INSERT INTO large SELECT seq, REPEAT(MD5(seq), 4) FROM seq_1_to_60000;`
  const live = await createMariadbSample({ user: 'owner', fill })
  const url = String(live.config['url'])
  const database = /\/(shop_\w+)\?/.exec(url)![1]!
  const config = { url: url.replace(encodeURIComponent(server.socketPath), encodeURIComponent(way.socketPath)) }
  return benchOf('mariadb', { ...live, config }, way, (sql) => server.sql(sql, database))
}

async function postgresShop(): Promise<Shop> {
  const server = await sharedPostgres()
  const way = await cuttable(`${server.socketFolder}/.s.PGSQL.5432`)
  const name = `cut_${++count}`
  await server.run('postgres', `CREATE DATABASE ${name}`, `CREATE DATABASE ${name}_new`)
  await server.run(
    name,
    `CREATE TABLE public.large AS SELECT g AS id, repeat(md5(g::text), 4) AS text FROM generate_series(1, 60000) g`,
    'ALTER TABLE public.large ADD PRIMARY KEY (id)',
  )
  const live = {
    ...common(server, name, `${name}_new`, await temporaryDirectory()),
    config: { url: `postgres://postgres@localhost/${name}?socketPath=${encodeURIComponent(way.folder)}` },
    change: async () => {},
  }
  return benchOf('postgres', live, way, (sql) => server.run(name, sql))
}

const shops: Readonly<Record<string, { open(): Promise<Shop>; change: string }>> = {
  MariaDB: { open: mariadbShop, change: 'DELETE FROM large WHERE id % 2 = 0' },
  'PostgreSQL, rows': { open: postgresShop, change: 'DELETE FROM large WHERE id % 2 = 0' },
  'PostgreSQL, names': { open: postgresShop, change: 'ALTER TABLE large ADD IF NOT EXISTS more int' },
}

describe.each(Object.entries(shops))('connections to %s are cut', (_title, { open, change }) => {
  test('while it is captured: an error, and the next capture works', async () => {
    const { bench, way } = await open()
    const service = await bench.service()
    const capture = await service.capture(bench.content, {
      damage: 'refuse',
      live: false,
      progress: () => way.cut(),
    })
    await capture.hold(5000)
    await capture.point()
    await capture.release()
    await expect(capture.copy()).rejects.toMatchObject({ code: 'unavailable' })
    await capture.close()
    expect((await bench.capture()).presence).toBe('present')
  })

  test('in the middle of staging and at every moment of the swap: before or after, and it can be finished', async () => {
    const { bench, way, run } = await open()
    const good = await bench.live.fingerprint()
    const target = await bench.capture()
    await run(change)
    const changed = await bench.live.fingerprint()
    const safety = await bench.capture()
    const service = await bench.service()
    let isCut = false
    const staging = service.stage(target, safety, {
      source: bench.content,
      id: restoreId,
      progress: () => {
        if (!isCut) way.cut()
        isCut = true
      },
    })
    await staging.catch((error: unknown) => expect(error).toMatchObject({ code: 'unavailable' }))
    expect(isCut).toBe(true)
    expect(await bench.live.fingerprint()).toBe(changed)
    await (await bench.service()).sweep(restoreId)
    expect(await bench.leftOver()).toEqual([])

    for (const delayMs of [0, 1, 3, 6, 12, 25, 60]) {
      await run(change)
      const ruined = await bench.live.fingerprint()
      const staged = await bench.stage(target, await bench.capture())
      const swap = await bench.swap(staged)
      await swap.prepare?.()
      await swap.hold(5000)
      await swap.lastCapture()
      const forward = swap.forward().catch(() => {})
      if (delayMs > 0) await sleep(delayMs)
      way.cut()
      await forward
      await swap.release().catch(() => {})
      const again = await bench.swap(staged)
      const state = await again.inspect()
      if (state !== 'between') expect(await bench.live.fingerprint()).toBe(state === 'after' ? good : ruined)
      await bench.finish(again)
      expect(await bench.live.fingerprint()).toBe(good)
      await again.discard()
      expect(await bench.leftOver()).toEqual([])
    }
  })
})
