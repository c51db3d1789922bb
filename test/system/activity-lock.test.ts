import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { acquireActivity, ownActivity, readActivity, shareActivity } from '../../src/system/activity-lock.ts'
import { identify, isAlive } from '../../src/system/process-identity.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const now = new Date('2026-01-01T00:00:00Z')

async function sleeper() {
  const child = spawn('sleep', ['60'])
  await once(child, 'spawn')
  return child
}

describe('the lock of an activity', () => {
  test('lets a second one wait its turn, and says what runs', async () => {
    const file = path.join(await temporaryDirectory(), 'locks/main.json')
    const lock = await acquireActivity(file, 'snapshot', now)
    const later = new Date(now.getTime() + 5000)
    await expect(acquireActivity(file, 'restore', later)).rejects.toMatchObject({
      code: 'busy',
      message: 'another activity runs in this environment: git env snapshot, for 5 s',
    })
    await lock.release()
    await (await acquireActivity(file, 'restore', later)).release()
    expect(existsSync(file)).toBe(false)
  })

  test('is taken over from the dead, and not while one of its owners lives', async () => {
    const file = path.join(await temporaryDirectory(), 'main.json')
    const first = await sleeper()
    await acquireActivity(file, 'restore', now)
    await shareActivity(file, first.pid!)
    const { replaceFile } = await import('../../src/system/durable-file.ts')
    const activity = (await readActivity(file))!
    await replaceFile(file, [Buffer.from(JSON.stringify({ ...activity, owners: activity.owners.slice(1) }))])
    await expect(acquireActivity(file, 'undo', now)).rejects.toMatchObject({ code: 'busy' })
    first.kill('SIGKILL')
    await once(first, 'exit')
    const lock = await acquireActivity(file, 'undo', now)
    expect((await readActivity(file))?.command).toBe('undo')
    await lock.release()
  })

  test('stays with the guard when the command that shared it is gone', async () => {
    const file = path.join(await temporaryDirectory(), 'main.json')
    const command = await sleeper()
    const lock = await acquireActivity(file, 'restore', now)
    await shareActivity(file, command.pid!)
    await lock.release()
    expect((await readActivity(file))?.owners.map((owner) => owner.pid)).toEqual([command.pid])
    command.kill('SIGKILL')
    await once(command, 'exit')
    await expect(ownActivity(file)).rejects.toMatchObject({ code: 'busy' })
    await shareActivity(file, process.pid)
    const joined = await ownActivity(file)
    await joined.release()
    expect(existsSync(file)).toBe(false)
  })

  test('tells a process from another that got its id later', () => {
    const me = identify(process.pid)
    expect(isAlive(me)).toBe(true)
    expect(isAlive({ ...me, started: 'another-boot:1' })).toBe(false)
    expect(isAlive({ ...me, host: 'another-machine' })).toBe(true)
  })
})
