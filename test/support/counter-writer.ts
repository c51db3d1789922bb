import { fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { compiledEnvironment } from './compiled.ts'

export type CounterPlaces = {
  readonly mariadb: { readonly socketPath: string; readonly database: string }
  readonly postgres: { readonly host: string; readonly database: string }
  readonly sqlite: string
  /** Written over in place by one call, in turns with a new file that takes its place. */
  readonly file: string
}

/**
 * A process that keeps one counter in four places: a step is MariaDB, PostgreSQL, SQLite and the file, one after the other, each done before
 * the next. So at any instant any two of them are at most one apart. Stops when the test ends; `stop` gives the last number.
 */
export async function startCounterWriter(places: CounterPlaces): Promise<{ stop(): Promise<number> }> {
  const child = fork(fileURLToPath(import.meta.url), ['count', JSON.stringify(places)], {
    execArgv: ['--no-warnings'],
    env: compiledEnvironment,
  })
  const exited = once(child, 'exit')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  await once(child, 'message')
  let last = 0
  child.on('message', (number: number) => {
    last = number
  })
  return {
    stop: async () => {
      child.send('stop')
      await exited
      return last
    },
  }
}

async function count({ mariadb, postgres, sqlite, file }: CounterPlaces): Promise<void> {
  const [{ createConnection }, { default: pg }, { DatabaseSync }] = await Promise.all([
    import('mysql2/promise'),
    import('pg'),
    import('node:sqlite'),
  ])
  const first = await createConnection({ ...mariadb, user: 'root' })
  const second = new pg.Client({ ...postgres, user: 'postgres' })
  await second.connect()
  const third = new DatabaseSync(sqlite, { timeout: 20_000 })
  let isStopping = false
  process.once('message', () => {
    isStopping = true
  })
  process.once('disconnect', () => process.exit())
  for (let number = 1; !isStopping; number++) {
    await first.query('UPDATE counter SET value = ?', [number])
    await second.query('UPDATE counter SET value = $1', [number])
    third.prepare('UPDATE counter SET value = ?').run(number)
    const line = `counter ${String(number).padStart(9, '0')}\n`
    if (number % 2 === 0) {
      writeFileSync(`${file}.new`, line)
      renameSync(`${file}.new`, file)
    } else {
      const descriptor = openSync(file, 'r+')
      writeSync(descriptor, line)
      closeSync(descriptor)
    }
    process.send!(number)
  }
  await first.end()
  await second.end()
  third.close()
  process.disconnect()
}

if (process.argv[2] === 'count' && process.send) await count(JSON.parse(process.argv[3]!) as CounterPlaces)
