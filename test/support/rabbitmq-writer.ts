import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { connect } from 'amqplib'
import { onTestFinished } from 'vitest'
import type { SampleWriter } from '../contract/service-driver.ts'

/** As busy as an application; more would only take the processor from those who are tested. */
const pauseMs = 4

/** A process with a connection of its own that publishes 1, 2, 3, … to the queue `written`, and reports each after its confirm. */
export async function startRabbitmqWriter(url: string): Promise<SampleWriter> {
  const child = fork(fileURLToPath(import.meta.url), ['write', url], { execArgv: ['--no-warnings'] })
  const acknowledged: number[] = []
  child.on('message', (number: number) => {
    acknowledged.push(number)
  })
  const exited = once(child, 'exit')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  return {
    acknowledged: () => acknowledged,
    stop: async () => {
      if (child.connected) child.send('stop')
      await exited
      return acknowledged
    },
  }
}

async function write(url: string): Promise<void> {
  let isStopping = false
  process.once('message', () => {
    isStopping = true
  })
  process.once('disconnect', () => process.exit())
  const connection = await connect(url)
  const channel = await connection.createConfirmChannel()
  for (let number = 1; !isStopping; number++) {
    channel.sendToQueue('written', Buffer.from(String(number)), { persistent: true })
    await channel.waitForConfirms()
    process.send!(number)
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  await connection.close()
  process.disconnect()
}

if (process.argv[2] === 'write' && process.send) await write(process.argv[3]!)
