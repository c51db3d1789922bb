import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { encodeCommands, type Word } from '../../src/services/redis/connection.ts'
import { RefusedReply, type Reply, ReplyReader } from '../../src/services/redis/replies.ts'
import type { SampleWriter } from '../contract/service-driver.ts'
import { compiledEnvironment } from './compiled.ts'

/** What a writer saw: what was acknowledged, errors, and its longest wait for an answer. */
export type RedisWriter = SampleWriter & {
  readonly errors: readonly string[]
  longestWaitMs(): number
}

type WriterOptions = { readonly socketPath: string; readonly index: number }

const pauseMs = 2

/** A process with a connection of its own that sets the keys `written:1`, `written:2`, … and reports each after its answer. */
export async function startRedisWriter(options: WriterOptions): Promise<RedisWriter> {
  const child = fork(fileURLToPath(import.meta.url), ['write'], {
    execArgv: ['--no-warnings'],
    env: compiledEnvironment,
  })
  const acknowledged: number[] = []
  const errors: string[] = []
  let longest = 0
  child.on('message', (word: { number?: number; waitMs?: number; error?: string }) => {
    if (word.error !== undefined) errors.push(word.error)
    if (word.number !== undefined) acknowledged.push(word.number)
    longest = Math.max(longest, word.waitMs ?? 0)
  })
  child.send(options)
  const exited = once(child, 'exit')
  const stop = async () => {
    if (child.connected) child.send('stop')
    await exited
    return acknowledged
  }
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  return { acknowledged: () => acknowledged, stop, errors, longestWaitMs: () => longest }
}

async function write({ socketPath, index }: WriterOptions): Promise<void> {
  const socket = connect(socketPath)
  const reader = new ReplyReader()
  let answer: (reply: Reply) => void = () => {}
  socket.on('data', (part) => {
    for (const reply of reader.read(part)) answer(reply)
  })
  const run = (...words: Word[]) =>
    new Promise<Reply>((resolve) => {
      answer = resolve
      socket.write(encodeCommands([words]))
    })
  let stopping = false
  process.once('message', () => {
    stopping = true
  })
  process.once('disconnect', () => process.exit())
  await run('SELECT', index)
  for (let number = 1; !stopping; number++) {
    const start = performance.now()
    const reply = await run('SET', `written:${number}`, number)
    if (reply instanceof RefusedReply) process.send!({ error: reply.message })
    else process.send!({ number, waitMs: performance.now() - start })
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  socket.end()
  process.disconnect()
}

if (process.argv[2] === 'write' && process.send) {
  process.once('message', (options: WriterOptions) => void write(options))
}
