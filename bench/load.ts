import { fork } from 'node:child_process'
import { once } from 'node:events'

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

/** Starts a script that calls {@link writeAllTheTime}, in a process of its own. */
export async function startLoad(script: string, connection: object): Promise<Load> {
  const child = fork(script, ['write', JSON.stringify(connection)])
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
      if (!child.connected) throw new Error('the writers ended before the measurement did')
      child.disconnect()
      await once(child, 'exit')
    },
  }
}

/** Of a writer's numbers, which are ten apart. */
export const isOdd = (number: number) => Math.floor(number / 10) % 2 === 1

const now = () => performance.timeOrigin + performance.now()

/** In the script's process: some writers, each with a connection of its own, which is opened again when it is lost. */
export async function writeAllTheTime<T>(
  connect: () => Promise<T>,
  write: (client: T, number: number, writer: number) => Promise<unknown>,
  count = connections,
): Promise<void> {
  let waits: Wait[] = []
  setInterval(() => {
    process.send!(waits)
    waits = []
  }, 100)
  process.once('disconnect', () => process.exit())
  await Promise.all(
    Array.from({ length: count }, async (_, writer) => {
      let client: T | undefined
      for (let number = Date.now() * 10 + writer; ; number += 10) {
        const from = now()
        for (;;) {
          try {
            client ??= await connect()
            await write(client, number, writer)
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
