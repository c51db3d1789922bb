import { connect } from 'node:net'
import { encodeCommands, type Word } from '../../src/services/redis/connection.ts'
import { RefusedReply, type Reply, ReplyReader } from '../../src/services/redis/replies.ts'
import { startWriterProcess, type WriterProcess, type Writing, writeWhenAsked } from './writer-process.ts'

type WriterOptions = { readonly socketPath: string; readonly index: number }

const pauseMs = 2

/** A process with a connection of its own that sets the keys `written:1`, `written:2`, … and reports each after its answer. */
export async function startRedisWriter(options: WriterOptions): Promise<WriterProcess> {
  return startWriterProcess(import.meta.url, options)
}

async function write({ socketPath, index }: WriterOptions, { isStopping, tell }: Writing): Promise<void> {
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
  await run('SELECT', index)
  for (let number = 1; !isStopping(); number++) {
    const start = performance.now()
    const reply = await run('SET', `written:${number}`, number)
    if (reply instanceof RefusedReply) tell({ error: reply.message })
    else tell({ number, waitMs: performance.now() - start })
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  socket.end()
}

writeWhenAsked(write)
