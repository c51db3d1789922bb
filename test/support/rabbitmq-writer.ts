import { connect } from 'amqplib'
import type { SampleWriter } from '../contract/service-driver.ts'
import { startWriterProcess, type Writing, writeWhenAsked } from './writer-process.ts'

/** As busy as an application; more would only take the processor from those who are tested. */
const pauseMs = 4

/** A process with a connection of its own that publishes 1, 2, 3, … to the queue `written`, and reports each after its confirm. */
export async function startRabbitmqWriter(url: string): Promise<SampleWriter> {
  return startWriterProcess(import.meta.url, url)
}

async function write(url: string, { isStopping, tell }: Writing): Promise<void> {
  const connection = await connect(url)
  const channel = await connection.createConfirmChannel()
  for (let number = 1; !isStopping(); number++) {
    channel.sendToQueue('written', Buffer.from(String(number)), { persistent: true })
    await channel.waitForConfirms()
    tell({ number })
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  await connection.close()
}

writeWhenAsked(write)
