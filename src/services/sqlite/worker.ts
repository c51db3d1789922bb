import { flushCompileCache } from 'node:module'
import { Worker } from 'node:worker_threads'
import type { EnvError } from '../../domain/errors.ts'
import { Operations } from './operations.ts'

/**
 * The process that works with a live SQLite database. Messages: `{ id, name, args }` in, `{ id, result }` or `{ id, error }` out,
 * `{ progress }` between. It dies at once when its parent dies, whatever it is doing, and so frees every lock:
 * a thread waits for the end of standard input, since SQLite keeps this one busy for as long as a statement takes.
 */
export type Request = { readonly id: number; readonly name: string; readonly args: unknown }
export type Reply = {
  readonly id?: number
  readonly result?: unknown
  readonly progress?: number
  readonly error?: Pick<EnvError, 'code' | 'message' | 'hint' | 'details'>
}

const watchParent = `
  const { readSync } = require('node:fs')
  const byte = Buffer.alloc(1)
  try { while (readSync(0, byte) > 0); } catch {}
  process.kill(process.pid, 'SIGKILL')`

const send = (reply: Reply) => process.send?.(reply)
const operations = new Operations(process.argv[2]!, (progress) => send({ progress }))

async function answer({ id, name, args }: Request): Promise<void> {
  try {
    const operation = operations[name as 'look'] as (args: unknown) => unknown
    const result = await operation.call(operations, args)
    send({ id, result })
  } catch (thrown) {
    const { code, message, hint, details } = operations.error(thrown)
    send({ id, error: { code, message, hint, details } })
  }
}

if (process.send) {
  new Worker(watchParent, { eval: true, resourceLimits: { maxOldGenerationSizeMb: 8 } })
  // Ctrl-C reaches the whole process group; the parent decides when the database is let go.
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  // It will be killed, and so must say now what is worth keeping.
  flushCompileCache()
  let last: Promise<void> = Promise.resolve()
  process.on('message', (request: Request) => {
    last = last.then(() => answer(request))
  })
}
