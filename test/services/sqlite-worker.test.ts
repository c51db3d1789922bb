import path from 'node:path'
import { expect, test } from 'vitest'
import { WorkerProcess } from '../../src/services/sqlite/worker-process.ts'
import { temporaryDirectory } from '../support/temporary.ts'

test('work that is cancelled while more of it is asked for ends as cancelled, and in nothing else', async () => {
  const uncaught: unknown[] = []
  const note = (error: unknown) => uncaught.push(error)
  process.on('uncaughtException', note)
  try {
    const file = path.join(await temporaryDirectory(), 'app.sqlite')
    // How far the process has got with dying when it is written to is left to chance: so there are several.
    for (let pauseMs = 0; pauseMs < 12; pauseMs++) {
      const controller = new AbortController()
      const worker = new WorkerProcess(file, controller.signal)
      await worker.call('look')
      controller.abort()
      const until = performance.now() + pauseMs
      while (performance.now() < until);
      await expect(worker.call('look')).rejects.toMatchObject({ code: 'cancelled' })
      expect(worker.ended).toBe(true)
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(uncaught).toEqual([])
  } finally {
    process.off('uncaughtException', note)
  }
})
