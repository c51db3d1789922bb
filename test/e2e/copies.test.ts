import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createRabbitmqSample, within } from '../samples/rabbitmq.ts'
import { makeProject } from '../support/project.ts'

test('another environment gets queues without their messages, and messages only when they are asked for', async () => {
  const project = await makeProject({ rows: 3, files: 1 })
  const queues = await createRabbitmqSample()
  const { url, management } = queues.config as { url: string; management: string }
  const config = readFileSync(project.path('.git-env.yaml'), 'utf8')
  const line = `  mail: { type: rabbitmq, url: ${JSON.stringify(url)}, management: ${JSON.stringify(management)} }\n`
  writeFileSync(project.path('.git-env.yaml'), config.replace('services:\n', `services:\n${line}`))
  await project.git('add', '.')
  await project.git('commit', '-qm', 'mail')
  await project.ok('snapshot', '-m', 'on main', '--name', 'good')
  const full = await queues.fingerprint()
  await project.git('checkout', '-q', '-b', 'feature')
  await within(queues.server, queues.vhost, async (channel) => {
    await channel.deleteQueue('dead')
    channel.sendToQueue('orders', Buffer.from('of the feature'), { persistent: true })
  })
  const there = await queues.fingerprint()
  const counts = async () => {
    const messages = await Promise.all(['orders', 'urgent', 'quorum', 'dead'].map((queue) => queues.peek(queue)))
    return messages.map(({ length }) => length)
  }

  const planned = await project.run(['restore', 'good', '--to', 'feature', '--dry-run'])
  expect(planned.stderr).toMatch(/^warning: mail: \d+ messages of the snapshot are left out/m)
  expect(await project.run(['restore', 'good', '--yes', '--to', 'feature', '--only', 'mail:orders'])).toMatchObject({
    status: 3,
    stderr: expect.stringContaining('hint: give --with-messages'),
  })
  expect(await queues.fingerprint()).toBe(there)

  const restored = await project.run(['restore', 'good', '--yes', '--to', 'feature'])
  expect(restored).toMatchObject({ status: 0, stderr: expect.stringContaining('--with-messages brings them too') })
  expect(await counts()).toEqual([0, 0, 0, 0])
  await project.ok('undo')
  expect(await queues.fingerprint()).toBe(there)

  const all = await project.run(['restore', 'good', '--yes', '--to', 'feature', '--with-messages'])
  expect(all.stderr).not.toContain('left out')
  expect(await queues.fingerprint()).toBe(full)

  // What it then has is its own.
  await project.ok('snapshot', '-m', 'of the feature', '--name', 'own')
  await within(queues.server, queues.vhost, (channel) => channel.purgeQueue('orders'))
  await project.ok('restore', 'own', '--yes')
  expect(await queues.fingerprint()).toBe(full)
})
