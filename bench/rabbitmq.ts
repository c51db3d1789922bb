import path from 'node:path'
import { type RabbitmqServer, startRabbitmq } from '../test/support/servers/rabbitmq.ts'
import { command, restore, seconds, startAnew } from './commands.ts'
import { median, table } from './measure.ts'
import { makeProject } from './shop.ts'

const messages = 50_000
const queues = 20
const bodyBytes = 250

/** Persistent messages over some queues: snapshots, and restores after all of them were purged. */
export async function benchRabbitmq(directory: string): Promise<void> {
  const server = await startRabbitmq(directory)
  try {
    await server.api('PUT', 'vhosts/shop', {})
    const published = await fill(server)
    const project = path.join(directory, 'project')
    const management = `http://127.0.0.1:${server.managementPort}`
    makeProject(project, [
      'services:',
      `  mail: { type: rabbitmq, url: ${JSON.stringify(server.url('shop'))}, management: ${JSON.stringify(management)} }`,
    ])
    const snapshots: number[] = []
    const again: number[] = []
    const restores: number[] = []
    const safeties: number[] = []
    for (let run = 0; run < 3; run++) {
      await startAnew(project)
      snapshots.push((await command(project, 'snapshot', '--side', '-m', 'bench')).seconds)
      again.push((await command(project, 'snapshot', '--side', '-m', 'again', '--name', `run-${run}`)).seconds)
      for (let nr = 0; nr < queues; nr++) await server.api('DELETE', `queues/shop/queue-${nr}/contents`)
      const restored = await restore(project)
      restores.push(restored.seconds)
      safeties.push(restored.safety)
    }
    process.stdout.write(
      `\nRabbitMQ, ${messages} persistent messages of ${bodyBytes} bytes over ${queues} queues, medians of 3\n`,
    )
    const rows = [
      ['published by amqplib with confirms, one run', '', seconds(published), ''],
      ['first snapshot', seconds(median(snapshots)), '', ''],
      ['a second one', seconds(median(again)), '', ''],
      ['restore after all were purged', seconds(median(restores)), '', ''],
      ['  the safety snapshot before it', seconds(median(safeties)), '', ''],
    ]
    process.stdout.write(`\n${table(['', 'git env', 'beside it', ''], rows)}\n`)
  } finally {
    await server.stop()
  }
}

async function fill(server: RabbitmqServer): Promise<number> {
  const connection = await server.connect('shop')
  const channel = await connection.createConfirmChannel()
  for (let nr = 0; nr < queues; nr++) await channel.assertQueue(`queue-${nr}`)
  const begun = performance.now()
  for (let nr = 0; nr < messages; nr++) {
    const body = Buffer.alloc(bodyBytes, `message ${nr} `)
    channel.sendToQueue(`queue-${nr % queues}`, body, {
      persistent: true,
      headers: { nr, kind: 'mail' },
      messageId: String(nr),
    })
    if (nr % 1000 === 0) await channel.waitForConfirms()
  }
  await channel.waitForConfirms()
  const took = (performance.now() - begun) / 1000
  await connection.close()
  return took
}
