import { readFileSync } from 'node:fs'
import path from 'node:path'
import { type RabbitmqServer, startRabbitmq } from '../test/support/servers/rabbitmq.ts'
import { command, seconds, startAnew } from './commands.ts'
import { table } from './measure.ts'
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
    const rows: string[][] = [['published by amqplib with confirms', seconds(published), '', '']]
    const took = async (...words: string[]) => {
      const [broker, ours] = [server.cpuSeconds(), childSeconds()]
      const ran = await command(project, ...words)
      return {
        ...ran,
        cells: [seconds(ran.seconds), seconds(childSeconds() - ours), seconds(server.cpuSeconds() - broker)],
      }
    }
    for (let run = 1; run <= 3; run++) {
      await startAnew(project)
      const first = await took('snapshot', '--side', '-m', 'bench')
      const again = await took('snapshot', '--side', '-m', 'again')
      for (let nr = 0; nr < queues; nr++) await server.api('DELETE', `queues/shop/queue-${nr}/contents`)
      const purged = await took('restore', '--yes', '--data-only')
      await publish(server, 'other')
      const differing = await took('restore', '--yes', '--data-only')
      rows.push([`${run}: first snapshot`, ...first.cells])
      rows.push([`${run}: a second one`, ...again.cells])
      for (const [title, { at, cells }] of [
        ['all were purged', purged],
        ['as many others were there', differing],
      ] as const) {
        rows.push([`${run}: restore after ${title}`, ...cells])
        const held = at.get('swap: released')! - at.get('swap: mail swapped')!
        rows.push([`${run}:   in which other services are held`, seconds(held / 1000), '', ''])
      }
    }
    const about = `${messages} persistent messages of ${bodyBytes} bytes, with headers, over ${queues} queues, half of them with priorities`
    process.stdout.write(`\nRabbitMQ, ${about}\n\n`)
    process.stdout.write(`${table(['', 'time', 'CPU of git env', 'CPU of the broker'], rows)}\n`)
  } finally {
    await server.stop()
  }
}

async function fill(server: RabbitmqServer): Promise<number> {
  for (let nr = 0; nr < queues; nr++) {
    const given = nr % 2 === 0 ? {} : { 'x-max-priority': 5 }
    await server.api('PUT', `queues/shop/queue-${nr}`, { durable: true, arguments: given })
  }
  return publish(server, 'message')
}

async function publish(server: RabbitmqServer, word: string): Promise<number> {
  const connection = await server.connect('shop')
  const channel = await connection.createConfirmChannel()
  for (let nr = 0; nr < queues; nr++) await channel.purgeQueue(`queue-${nr}`)
  const begun = performance.now()
  for (let nr = 0; nr < messages; nr++) {
    const body = Buffer.alloc(bodyBytes, `${word} ${nr} `)
    channel.sendToQueue(`queue-${nr % queues}`, body, {
      persistent: true,
      priority: nr % 7,
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

/** What all processes that were started here, and have ended, used of processors. */
function childSeconds(): number {
  const fields = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]!.split(' ')
  return (Number(fields[13]) + Number(fields[14])) / 100
}
