import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import command from '../../src/services/command.ts'
import type { ServiceContext } from '../../src/services/service-driver.ts'
import { MemoryContent } from '../support/memory-content.ts'
import { temporaryDirectory } from '../support/temporary.ts'

/** A service whose dump and restore are given as shell text. */
async function serviceOf(
  texts: { dump?: string; restore?: string; limit?: number },
  more: Partial<ServiceContext> = {},
) {
  const project = await temporaryDirectory()
  const privateDirectory = path.join(await temporaryDirectory(), 'services/main/box')
  mkdirSync(privateDirectory, { recursive: true })
  for (const name of ['dump', 'restore'] as const) {
    writeFileSync(path.join(project, name), `#!/bin/sh\n${texts[name] ?? 'cat'}\n`)
    chmodSync(path.join(project, name), 0o755)
  }
  const config = { dump: ['./dump'], restore: ['./restore'], limit: texts.limit ?? 20, compare: false }
  const abort = new AbortController()
  const service = await command.open(config, {
    name: 'box',
    environmentKey: 'main-00000000',
    nameHere: undefined,
    projectDirectory: project,
    forbidden: [],
    privateDirectory,
    allowed: true,
    foreign: new Set(),
    variable: () => undefined,
    commands: { environment: process.env, secrets: ['hunter22'] },
    trace() {},
    signal: abort.signal,
    ...more,
  })
  const content = new MemoryContent()
  const options = { damage: 'refuse', live: false, progress() {} } as const
  return {
    project,
    content,
    abort,
    service,
    file: (name: string) => path.join(project, name),
    capture: async () => (await service.capture(content, options)).copy(),
  }
}

describe('a dump command', () => {
  test('that ends with another status than 0 gives nothing, whatever it printed', async () => {
    const { capture, content } = await serviceOf({
      dump: 'echo half; echo "no disk" >&2; echo "no hunter22" >&2; exit 3',
    })
    await expect(capture()).rejects.toMatchObject({
      code: 'unavailable',
      message: 'box: the dump command ./dump did not work: it ended with status 3: no disk / no ***',
      hint: expect.stringContaining('nothing was taken'),
    })
    expect(content.written).toEqual([])
  })

  test('that ends early with status 0 is what it is', async () => {
    const { capture } = await serviceOf({ dump: 'printf start; exit 0; printf end' })
    expect(await capture()).toMatchObject({ presence: 'present', level: 'live', live: ['dump'], bytes: 5 })
  })

  test('that is killed, or that is not there, gives nothing', async () => {
    const { capture } = await serviceOf({ dump: 'echo half; kill -KILL $$' })
    await expect(capture()).rejects.toThrow('box: the dump command ./dump did not work: it was ended by SIGKILL')
    const { file, capture: again } = await serviceOf({})
    chmodSync(file('dump'), 0o644)
    await expect(again()).rejects.toThrow(
      'box: the dump command ./dump did not work: it cannot be started: spawn ./dump EACCES',
    )
  })

  test('that hangs is ended at its limit, with all that it started', async () => {
    const { capture, file } = await serviceOf({ dump: '(sleep 2; touch late) & echo half; sleep 60', limit: 1 })
    const start = performance.now()
    await expect(capture()).rejects.toThrow('it did not end within 1 s')
    expect(performance.now() - start).toBeLessThan(4000)
    await sleep(1500)
    expect(existsSync(file('late'))).toBe(false)
  })

  test('may say ever so much on standard error, of which the last lines are shown', async () => {
    const { capture } = await serviceOf({
      dump: `head -c 20000000 /dev/zero | tr '\\0' 'x' >&2; echo >&2; echo 'the reason' >&2; echo data; exit 1`,
    })
    const error = await capture().catch((thrown: Error) => thrown.message)
    expect(error).toMatch(/it ended with status 1: x+ \/ the reason$/)
    expect(String(error).length).toBeLessThan(700)
  })

  test('that is waited for by something it left behind is not waited for on standard error', async () => {
    const { capture } = await serviceOf({ dump: 'echo data; exec >&-; sleep 5 >/dev/null &' })
    const start = performance.now()
    expect((await capture()).bytes).toBe(5)
    expect(performance.now() - start).toBeLessThan(3000)
  })

  test('is ended when git-env gives up', async () => {
    const { capture, abort, file } = await serviceOf({ dump: 'echo half; sleep 1; touch late' })
    setTimeout(() => abort.abort(), 200)
    await expect(capture()).rejects.toMatchObject({ code: 'cancelled' })
    await sleep(1300)
    expect(existsSync(file('late'))).toBe(false)
  })

  test('gets what the local file adds, and the name of its service', async () => {
    const { capture, content } = await serviceOf(
      { dump: 'printf "$GIT_ENV_SERVICE $PASSWORD"' },
      { commands: { environment: { PATH: process.env['PATH'], PASSWORD: 'secret' }, secrets: [] } },
    )
    const [stream] = (await capture()).streams
    expect(Buffer.from(content.chunks.get(stream!.content.sha256)!).toString()).toBe('box secret')
  })
})

describe('a restore command', () => {
  const good = { dump: 'cat items', restore: 'cat >items' }

  test('that fails has the safety dump given to it, and the error says why', async () => {
    const { service, capture, content, file } = await serviceOf({
      ...good,
      restore: 'cat >items; if grep -q bad items; then echo "cannot take it" >&2; exit 4; fi',
    })
    writeFileSync(file('items'), 'bad')
    const target = await capture()
    writeFileSync(file('items'), 'present')
    const swap = await swapTo(target)
    await expect(swap.forward()).rejects.toThrow(
      'box: the restore command ./restore did not work: it ended with status 4: cannot take it',
    )
    expect([await swap.inspect(), readFileSync(file('items'), 'utf8')]).toEqual(['between', 'bad'])
    await swap.back()
    expect([await swap.inspect(), readFileSync(file('items'), 'utf8')]).toEqual(['before', 'present'])
    await swap.discard()

    async function swapTo(record: Awaited<ReturnType<typeof capture>>) {
      const live = await capture()
      const staged = await service.stage(record, live, { source: content, id: '01j0', progress() {} })
      const opened = service.swap(staged)
      await opened.prepare?.()
      await opened.lastCapture()
      return opened
    }
  })

  test('that still runs when another process takes over is ended before it runs again', async () => {
    const { service, capture, content, file } = await serviceOf({
      ...good,
      restore: 'sleep "$(cat pause)"; cat >items; touch done',
    })
    writeFileSync(file('pause'), '60')
    writeFileSync(file('items'), 'wanted')
    const target = await capture()
    writeFileSync(file('items'), 'present')
    const staged = await service.stage(target, await capture(), { source: content, id: '01j0', progress() {} })
    const first = service.swap(staged)
    const journal = await first.lastCapture()
    const cut = first.forward().catch((error: Error) => error.message)
    await sleep(300)
    writeFileSync(file('pause'), '0')
    const second = service.swap(journal)
    expect(await second.inspect()).toBe('between')
    await second.forward()
    expect(await cut).toContain('it was ended by SIGKILL')
    expect(readFileSync(file('items'), 'utf8')).toBe('wanted')
    await second.discard()
  })
})

test('without consent no command is even opened', async () => {
  await expect(serviceOf({ dump: 'touch ran' }, { allowed: false })).rejects.toMatchObject({
    code: 'refused',
    message: 'box is dumped and restored by commands: ./dump, and ./restore',
    hint: 'look at them, then: git env allow',
  })
})
