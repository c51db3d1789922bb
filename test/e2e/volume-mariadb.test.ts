import { rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { addMariadbVolume } from '../support/mariadb-volume.ts'
import { makeProject } from '../support/project.ts'
import { start, until } from '../support/running.ts'

test('the data folder of a MariaDB server comes back, also from ruins, and undo takes that back', async () => {
  const project = await makeProject()
  const { server, dump, isUp, run } = await addMariadbVolume(project)
  const refused = await project.run(['snapshot'])
  expect(refused).toMatchObject({
    status: 3,
    stderr: expect.stringContaining('hint: look at them, then: git env allow'),
  })
  expect(isUp()).toBe(true)
  expect(await project.ok('allow')).toContain(
    'to stop db it runs: ./server stop\n  to start db it runs: ./server start\n',
  )
  expect(await project.ok('doctor')).toMatch(
    /db: .*frozen: it is stopped \(\.\/server stop\) while what has changed is read/,
  )

  const good = dump()
  await project.ok('snapshot', '-m', 'good')
  expect(isUp()).toBe(true)
  expect(await project.ok('show')).toMatch(/level +frozen/)
  await server.sql(
    `INSERT INTO orders (text) VALUES ('one more'); UPDATE notes SET text = 'second'; DROP TABLE IF EXISTS gone`,
    'shop',
  )
  const later = dump()
  expect(await project.ok('diff')).toContain('db: ')
  expect(isUp()).toBe(true)
  await project.ok('restore', '--yes')
  expect(dump()).toBe(good)
  await project.ok('undo')
  expect(dump()).toBe(later)

  run('stop')
  writeFileSync(path.join(server.data, 'ibdata1'), 'ruined'.repeat(100_000))
  rmSync(path.join(server.data, 'shop'), { recursive: true })
  const restored = await project.run(['restore', '--yes'])
  expect(restored).toMatchObject({ status: 0 })
  // After the safety snapshot it could not be started on the ruin.
  expect(restored.stderr).toContain(
    'warning: db: ./server start did not work: it ended with status 1: it does not start',
  )
  expect(dump()).toBe(good)
})

test('git-env killed while the server is stopped for a snapshot: it is started again', async () => {
  const project = await makeProject()
  const { isUp, dump } = await addMariadbVolume(project)
  await project.ok('allow')
  const good = dump()
  const running = start(project, ['snapshot'], { at: 'volume: stopped', ms: 60_000 })
  const pid = await running.at('volume: stopped')
  expect(isUp()).toBe(false)
  process.kill(pid, 'SIGKILL')
  await until(() => isUp() || undefined, 'the server')
  expect(dump()).toBe(good)
  expect(await project.json('log', '--snapshots')).toEqual([])
})

test('git-env and its guard killed in the middle of the swap: the server is started on what was there, never on a mixture', async () => {
  const project = await makeProject()
  const { server, isUp, dump } = await addMariadbVolume(project)
  await project.ok('allow')
  const good = dump()
  await project.ok('snapshot')
  await server.sql(`DELETE FROM orders WHERE id > 10; CREATE TABLE more AS SELECT * FROM notes`, 'shop')
  const later = dump()
  const running = start(project, ['restore', '--yes'], { at: 'files: metadata set', ms: 60_000 })
  const guard = await running.at('files: metadata set')
  process.kill(running.pid, 'SIGKILL')
  process.kill(guard, 'SIGKILL')
  await until(() => isUp() || undefined, 'the server')
  expect(dump()).toBe(later)
  await project.ok('recover')
  expect(dump()).toBe(good)
  await project.ok('undo')
  expect(dump()).toBe(later)
})
