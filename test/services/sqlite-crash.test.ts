import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { identify, isAlive } from '../../src/system/process-identity.ts'
import { createSqliteSample } from '../samples/sqlite.ts'
import { ServiceBench } from '../support/service-bench.ts'
import { startSqliteWriter } from '../support/sqlite-writer.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const swapProcess = fileURLToPath(new URL('../support/swap-process.ts', import.meta.url))
const workerParent = fileURLToPath(new URL('../support/sqlite-worker-parent.ts', import.meta.url))
const rounds = 3

for (const mode of ['wal', 'delete'] as const) {
  describe(`killed in the middle of a statement, with a writer at work (${mode})`, () => {
    test('no row that was acknowledged is lost, and the database is whole', async () => {
      for (let round = 0; round < rounds; round++) await killedInTheMiddle(mode, round)
    })
  })
}

test('the process that works with the database dies with its parent, even where it cannot listen', async () => {
  const directory = await temporaryDirectory()
  const pipe = path.join(directory, 'pipe')
  execFileSync('mkfifo', [pipe])
  const parent = fork(workerParent, [pipe, path.join(directory, 'raw')], { execArgv: ['--no-warnings'] })
  const [pid] = (await once(parent, 'message')) as [number]
  const worker = identify(pid)
  expect(isAlive(worker)).toBe(true)
  parent.kill('SIGKILL')
  const deadline = Date.now() + 5000
  while (isAlive(worker) && Date.now() < deadline) await sleep(10)
  expect(isAlive(worker)).toBe(false)
})

async function killedInTheMiddle(mode: 'wal' | 'delete', round: number): Promise<void> {
  const bench = await ServiceBench.open({ type: 'sqlite', create: () => createSqliteSample(mode) })
  const file = path.join(bench.live.projectDirectory, 'data/app.sqlite')
  const grow = new DatabaseSync(file, { timeout: 30_000 })
  grow.exec(`CREATE TABLE written (number INTEGER PRIMARY KEY, text TEXT); CREATE TABLE many (id INTEGER PRIMARY KEY, a TEXT); CREATE INDEX many_a ON many (a);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 60000) INSERT INTO many SELECT i, hex(randomblob(20)) FROM c`)
  const target = await bench.capture()
  grow.exec(`UPDATE many SET a = hex(randomblob(20))`)
  grow.close()
  const writer = await startSqliteWriter(file)
  const safety = await bench.capture()
  const staged = await bench.stage(target, safety)
  await killWhileSwapping(
    { type: 'sqlite', config: bench.live.config, context: bench.context, staged, task: 'swap' },
    round,
  )
  await sleep(50)

  const swap = await bench.swap(staged)
  await bench.finish(swap)
  const before = await swap.before(bench.content, safety)
  await swap.discard()
  const acknowledged = await writer.stop()
  const after = new Set(await bench.live.written!())
  expect(checkOf(file)).toEqual('ok')
  await bench.restore(before)
  const kept = new Set([...(await bench.live.written!()), ...after])
  expect(acknowledged.filter((number) => !kept.has(number))).toEqual([])
  expect(writer.errors).toEqual([])
}

/** Starts the swap in another process and kills that one at another moment of its rewriting each round. */
async function killWhileSwapping(job: object, round: number): Promise<void> {
  const child = fork(swapProcess, ['run'], { execArgv: ['--no-warnings'] })
  const captured = once(child, 'message')
  child.send(job)
  await captured
  await sleep(round * 120)
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  if (child.exitCode === null && child.signalCode === null) await exited
}

function checkOf(file: string): unknown {
  const database = new DatabaseSync(file, { timeout: 30_000 })
  try {
    return database.prepare('PRAGMA integrity_check(1)').get()?.['integrity_check']
  } finally {
    database.close()
  }
}
