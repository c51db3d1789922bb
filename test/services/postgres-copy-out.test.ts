import { hash } from 'node:crypto'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { CopyOut } from '../../src/services/postgres/copy-out.ts'
import { sharedPostgres } from '../support/servers/postgres.ts'

async function connect(): Promise<pg.Client> {
  const server = await sharedPostgres()
  const client = new pg.Client({ host: server.socketFolder, user: 'postgres', database: 'postgres' })
  await client.connect()
  onTestFinished(() => client.end())
  return client
}

async function rowsOf(client: pg.Client, text: string): Promise<{ bytes: Buffer; rowCount: number }> {
  const idle = new Promise((resolve) => client.once('drain', resolve))
  const copy = client.query(new CopyOut(text))
  const parts: Uint8Array[] = []
  for await (const part of copy.parts()) parts.push(Uint8Array.from(part))
  await idle
  return { bytes: Buffer.concat(parts), rowCount: copy.rowCount }
}

test('rows of every length come as the server counts and hashes them, and the connection can be used again', async () => {
  const client = await connect()
  // Around the 64 KiB of one read, so that messages and their heads are cut in every way.
  const query = `SELECT repeat('x', i % 97) || repeat('y', (i * 7919) % 130000 * (i % 50 = 0)::int) AS text FROM generate_series(1, 20000) i`
  const { rows } = await client.query<{ sha: string; bytes: string }>(
    `SELECT encode(sha256(convert_to(string_agg(text || chr(10), '' ORDER BY i), 'UTF8')), 'hex') AS sha, sum(length(text) + 1) AS bytes
     FROM (${query.replace('AS text', 'AS text, i')}) AS every`,
  )
  for (let round = 0; round < 3; round++) {
    const { bytes, rowCount } = await rowsOf(client, `COPY (${query}) TO STDOUT`)
    expect(rowCount).toBe(20_000)
    expect(bytes.length).toBe(Number(rows[0]!.bytes))
    expect(hash('sha256', bytes)).toBe(rows[0]!.sha)
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  }
})

test('no rows, an error before the first and one in the middle', async () => {
  const client = await connect()
  expect(await rowsOf(client, 'COPY (SELECT 1 WHERE false) TO STDOUT')).toEqual({ bytes: Buffer.alloc(0), rowCount: 0 })
  await expect(rowsOf(client, 'COPY not_there TO STDOUT')).rejects.toMatchObject({ code: '42P01' })
  const fails = 'COPY (SELECT 1 / (50000 - i) FROM generate_series(1, 100000) i) TO STDOUT'
  await expect(rowsOf(client, fails)).rejects.toMatchObject({ code: '22012' })
  expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
})

test('a connection that is lost while rows come is an error', async () => {
  const client = await connect()
  client.on('error', () => {})
  const copy = client.query(new CopyOut('COPY (SELECT i, pg_sleep(0.001) FROM generate_series(1, 100000) i) TO STDOUT'))
  const { stream } = (client as unknown as { connection: { stream: { destroy(): void } } }).connection
  setTimeout(() => stream.destroy(), 200)
  const read = async () => {
    for await (const _ of copy.parts());
  }
  await expect(read()).rejects.toThrow()
})
