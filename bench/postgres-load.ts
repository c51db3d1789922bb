import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import pg from 'pg'

const connections = 4
const pauseMs = 2

/** One write, from when it was asked for until it was acknowledged, in milliseconds of the clock; a lost connection is part of the wait. */
type Wait = { readonly from: number; readonly to: number }

export type Load = {
  /** The longest wait of those that were under way around a moment. */
  longestWaitAt(moment: number): number
  longestBetween(from: number, to: number): number
  /** 95 of 100 waits are not longer. */
  usual(): number
  stop(): Promise<void>
}

/** Some connections of a process of its own that insert and update rows all the time. */
export async function postgresLoad(connection: pg.ClientConfig): Promise<Load> {
  const child = fork(fileURLToPath(import.meta.url), ['write', JSON.stringify(connection)])
  const waits: Wait[] = []
  child.on('message', (some: Wait[]) => void waits.push(...some))
  await once(child, 'message')
  const longest = (some: readonly Wait[]) => some.reduce((most, { from, to }) => Math.max(most, to - from), 0)
  const between = (from: number, to: number) => longest(waits.filter((wait) => wait.to >= from && wait.from <= to))
  return {
    longestWaitAt: (moment) => between(moment - 30, moment),
    longestBetween: between,
    usual: () => {
      const sorted = waits.map(({ from, to }) => to - from).sort((a, b) => a - b)
      return sorted[Math.floor(sorted.length * 0.95)] ?? 0
    },
    stop: async () => {
      child.disconnect()
      await once(child, 'exit')
    },
  }
}

const now = () => performance.timeOrigin + performance.now()

async function write(connection: pg.ClientConfig): Promise<void> {
  let waits: Wait[] = []
  setInterval(() => {
    process.send!(waits)
    waits = []
  }, 100)
  process.once('disconnect', () => process.exit())
  await Promise.all(
    Array.from({ length: connections }, async (_, writer) => {
      let client: pg.Client | undefined
      for (let number = Date.now() * 10 + writer; ; number += 10) {
        const from = now()
        for (;;) {
          try {
            client ??= await connect(connection)
            const id = 1 + (number % 600_000)
            await client.query('INSERT INTO written VALUES ($1, $2, $3) ON CONFLICT DO NOTHING', [
              number,
              writer,
              `row ${number}`,
            ])
            await client.query('UPDATE part_9 SET price = $1 WHERE id = $2', [writer, id])
            break
          } catch {
            client = undefined
          }
        }
        waits.push({ from, to: now() })
        await new Promise((resolve) => setTimeout(resolve, pauseMs))
      }
    }),
  )
}

async function connect(connection: pg.ClientConfig): Promise<pg.Client> {
  const client = new pg.Client(connection)
  client.on('error', () => {})
  await client.connect()
  return client
}

if (process.argv[2] === 'write' && process.send) await write(JSON.parse(process.argv[3]!) as pg.ClientConfig)
