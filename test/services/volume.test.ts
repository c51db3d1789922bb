import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { ServiceRecord } from '../../src/domain/manifest.ts'
import { bytePath, decodeTree } from '../../src/domain/tree.ts'
import { Scope } from '../../src/services/files/mount.ts'
import type { CaptureOptions, Service, ServiceContext } from '../../src/services/service-driver.ts'
import { VolumeCapture } from '../../src/services/volume/capture.ts'
import volume from '../../src/services/volume.ts'
import { collect, MemoryContent } from '../support/memory-content.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const options: CaptureOptions = { damage: 'keep', live: false, progress() {} }

type Commands = { readonly stop?: string; readonly start?: string; readonly limit?: number }

/** A folder `data` with a file `pages`, and commands given as shell text, which run in the project. */
class VolumeBench {
  readonly project: string
  readonly content = new MemoryContent()
  readonly #commands: Commands
  readonly #privateDirectory: string

  constructor(project: string, privateDirectory: string, commands: Commands) {
    this.project = project
    this.#privateDirectory = privateDirectory
    this.#commands = commands
    mkdirSync(this.file('data'))
    writeFileSync(this.file('data/pages'), 'first')
    writeFileSync(this.file('data/same'), 'same')
  }

  static async open(commands: Commands = {}): Promise<VolumeBench> {
    return new VolumeBench(await temporaryDirectory(), await temporaryDirectory(), commands)
  }

  file(name: string): string {
    return path.join(this.project, name)
  }

  /** The process that is to start it again. */
  keeper(): number {
    return JSON.parse(readFileSync(path.join(this.#privateDirectory, 'keeper'), 'utf8')).pid as number
  }

  text(name: string): string | undefined {
    return existsSync(this.file(name)) ? readFileSync(this.file(name), 'utf8') : undefined
  }

  get config() {
    const { stop, start, limit = 20 } = this.#commands
    const shell = (text: string) => ['sh', '-c', text]
    if (stop === undefined || start === undefined) return { path: 'data', limit }
    return { path: 'data', stop: shell(`echo stop >>log; ${stop}`), start: shell(`echo start >>log; ${start}`), limit }
  }

  service(more: Partial<ServiceContext> = {}): Promise<Service> {
    return volume.open(this.config, {
      name: 'box',
      environmentKey: 'main-00000000',
      nameHere: undefined,
      projectDirectory: this.project,
      forbidden: [],
      privateDirectory: this.#privateDirectory,
      allowed: true,
      foreign: new Set(),
      variable: () => undefined,
      commands: { environment: process.env, secrets: [] },
      trace() {},
      signal: new AbortController().signal,
      ...more,
    })
  }

  async capture(service: Service, copying = () => {}): Promise<ServiceRecord> {
    const capture = await service.capture(this.content, options)
    return this.finish(capture, copying)
  }

  async finish(capture: Awaited<ReturnType<Service['capture']>>, started = () => {}): Promise<ServiceRecord> {
    try {
      await capture.stop?.()
      await capture.hold(100)
      await capture.point()
      await capture.release()
      await capture.start?.()
      started()
      return await capture.copy()
    } finally {
      await capture.close()
    }
  }

  async textIn(record: ServiceRecord, name: string): Promise<string | undefined> {
    for await (const entry of decodeTree(this.content.read(record.streams[0]!.content))) {
      if (entry.path === name) return Buffer.concat(await collect(this.content.read(entry.content!))).toString()
    }
    return undefined
  }

  /** With what the swap needs of a journal. */
  async staged(service: Service, target: ServiceRecord) {
    const live = await this.capture(service)
    return service.stage(target, live, { source: this.content, id: '01j0', progress() {} })
  }
}

describe('a volume', () => {
  test('is stopped for the capture and started after it, and says for how long', async () => {
    const bench = await VolumeBench.open({ stop: 'echo last >data/pages', start: 'echo next >data/pages' })
    const service = await bench.service()
    const record = await bench.capture(service)
    expect(record).toMatchObject({
      type: 'volume',
      level: 'frozen',
      live: [],
      files: 2,
      facts: { stoppedMicros: expect.any(Number) },
    })
    expect([await bench.textIn(record, 'pages'), bench.text('data/pages'), bench.text('log')]).toEqual([
      'last\n',
      'next\n',
      'stop\nstart\n',
    ])
    expect(service.warnings!()).toEqual([])
  })

  test('without commands is live, and says so', async () => {
    const bench = await VolumeBench.open()
    const service = await bench.service()
    expect(await bench.capture(service)).toMatchObject({ level: 'live', live: ['.'] })
    expect(await service.probe()).toMatchObject({
      rung: 'live: nothing stops whoever writes to it, so the files may be of several moments',
      warnings: ['nothing stops its service: stop it yourself before a restore, or its files are swapped under it'],
    })
  })

  test('that cannot be stopped is not captured, and is started', async () => {
    const bench = await VolumeBench.open({ stop: 'echo "not now"; exit 5', start: 'true' })
    await expect(bench.capture(await bench.service())).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/^box: sh -c .* did not work: it ended with status 5: not now$/),
      hint: expect.stringContaining('the start command was run'),
    })
    expect(bench.text('log')).toBe('stop\nstart\n')
  })

  test('whose stop hangs is not waited for beyond the limit, and is started', async () => {
    const bench = await VolumeBench.open({ stop: 'sleep 60', start: 'true', limit: 1 })
    await expect(bench.capture(await bench.service())).rejects.toThrow('did not work: it did not end within 1 s')
    expect(bench.text('log')).toBe('stop\nstart\n')
  })

  test('that cannot be started again is told, and what was captured stands', async () => {
    const bench = await VolumeBench.open({ stop: 'true', start: 'echo "port taken"; exit 6' })
    const service = await bench.service()
    expect((await bench.capture(service)).level).toBe('frozen')
    expect(service.warnings!()).toEqual([
      expect.stringMatching(
        /^box: sh -c .* did not work: it ended with status 6: port taken; when that is mended, start it yourself$/,
      ),
    ])
  })

  test('is started also when the process that was to do so is killed', async () => {
    const bench = await VolumeBench.open({ stop: 'true', start: 'true' })
    const capture = await (await bench.service()).capture(bench.content, options)
    await capture.stop!()
    process.kill(bench.keeper(), 'SIGKILL')
    await capture.point()
    await capture.start!()
    expect((await capture.copy()).level).toBe('frozen')
    await capture.close()
    expect(bench.text('log')).toBe('stop\nstart\n')
  })

  test('that is written to although it was stopped is live, and the files are named', async () => {
    const bench = await VolumeBench.open({ stop: 'true', start: 'true' })
    const service = await bench.service()
    const capture = await service.capture(bench.content, options)
    await capture.stop!()
    await capture.point()
    writeFileSync(bench.file('data/pages'), 'still alive')
    await capture.start!()
    expect(await capture.copy()).toMatchObject({ level: 'live', live: ['pages'] })
    expect(service.warnings!()).toEqual([expect.stringMatching(/^box: pages changed although sh -c .* had ended$/)])
    await capture.close()
  })

  test('is restored whole or not at all', async () => {
    const bench = await VolumeBench.open()
    const service = await bench.service()
    const record = await bench.capture(service)
    const staging = { source: bench.content, id: '01j0', progress() {}, only: ['pages'] }
    expect(() => service.stage(record, record, staging)).toThrow('box: a volume is restored whole')
  })
})

test('where files can be cloned, the service goes on before they are read, and what it then writes is not in the capture', async () => {
  const bench = await VolumeBench.open({ stop: 'true', start: 'true' })
  const trace: string[] = []
  const root = bytePath(bench.file('data'))
  const privateDirectory = await temporaryDirectory()
  const { signal } = new AbortController()
  const mountAt = (at: string) => ({
    name: 'box',
    root: at,
    scope: new Scope(new Set(), []),
    privateDirectory,
    trace() {},
    signal,
  })
  const { environment } = { environment: process.env }
  const words = ['true']
  const commands = { stop: words, start: words, options: { directory: bench.project, environment, limitMs: 5000 } }
  // No file system of this machine may know reflinks: a copy stands for one. All else is as it is with them.
  const clone = (from: Buffer, to: string) => copyFileSync(from, to)
  const own = {
    name: 'box',
    root,
    mountAt,
    commands,
    privateDirectory,
    clone,
    warn() {},
    trace: (step: string) => void trace.push(step),
  }
  const capture = await VolumeCapture.prepare(own, bench.content, options)
  await new Promise((resolve) => setTimeout(resolve, 30))
  writeFileSync(bench.file('data/pages'), 'at the stop')
  const record = await bench.finish(capture, () => {
    writeFileSync(bench.file('data/pages'), 'after the start')
    writeFileSync(bench.file('data/new'), 'new')
  })
  expect([record.level, record.files]).toEqual(['frozen', 2])
  expect(await bench.textIn(record, 'pages')).toBe('at the stop')
  expect(trace).toEqual(['volume: stopped', 'volume: may go on'])
  expect(existsSync(path.join(privateDirectory, 'clones'))).toBe(false)
})

describe('the swap of a volume', () => {
  test('keeps the folder out of sight: what is cut short, also by a power loss, leaves nothing to start on', async () => {
    const bench = await VolumeBench.open({ stop: 'true', start: 'true' })
    const target = await bench.capture(await bench.service())
    writeFileSync(bench.file('data/pages'), 'second')
    const trace = (step: string) => {
      if (step === 'files: begun') throw new Error('power loss')
    }
    const cut = (await bench.service({ trace })).swap(await bench.staged(await bench.service(), target), bench.content)
    const journal = await cut.lastCapture()
    await expect(cut.forward()).rejects.toThrow('could not swap the files')
    expect(existsSync(bench.file('data'))).toBe(false)
    // Whoever starts in that moment may make a folder of their own, which is kept beside.
    mkdirSync(bench.file('data'))
    writeFileSync(bench.file('data/fresh'), 'made by a server that found nothing')

    const service = await bench.service()
    const swap = service.swap(journal, bench.content)
    expect(await swap.inspect()).toBe('between')
    await swap.stop!()
    await swap.lastCapture()
    await swap.forward()
    await swap.readBack()
    await swap.start!()
    expect([bench.text('data/pages'), bench.text('data/fresh')]).toEqual(['first', undefined])
    expect(bench.text('data.git-env-stray-1/fresh')).toBe('made by a server that found nothing')
    await swap.discard()
  })

  test('waits for whoever still has files open after the stop command, and is given up where that does not end', async () => {
    const bench = await VolumeBench.open({ stop: 'true', start: 'true', limit: 1 })
    const service = await bench.service()
    const staged = await bench.staged(service, await bench.capture(service))
    const open = (seconds: number) =>
      spawn('sh', ['-c', `exec 7>>data/pages; echo; exec sleep ${seconds}`], { cwd: bench.project })
    const hanging = open(60)
    onTestFinished(() => void hanging.kill())
    await once(hanging.stdout, 'data')
    const swap = service.swap(staged, bench.content)
    await expect(swap.stop!()).rejects.toMatchObject({
      code: 'busy',
      message: expect.stringMatching(/^box: sh -c .* has ended, but \w+ \(\d+\) still has files in .*data open$/),
    })
    await swap.start!()
    hanging.kill()
    await once(hanging, 'exit')
    const slow = open(0.3)
    await once(slow.stdout, 'data')
    await swap.stop!()
    await swap.start!()
    await swap.discard()
  })

  test('a sweep brings a hidden folder back, and never takes it away', async () => {
    const bench = await VolumeBench.open({ stop: 'true', start: 'true' })
    const target = await bench.capture(await bench.service())
    writeFileSync(bench.file('data/pages'), 'second')
    const trace = (step: string) => {
      if (step === 'volume: hidden') throw new Error('power loss')
    }
    const cut = (await bench.service({ trace })).swap(await bench.staged(await bench.service(), target), bench.content)
    await cut.lastCapture()
    await expect(cut.forward()).rejects.toThrow('power loss')
    await (await bench.service()).sweep('01j0')
    expect(bench.text('data/pages')).toBe('second')
  })

  test('goes on within the folder where that is a mount point', async () => {
    const bench = await VolumeBench.open({ stop: 'true', start: 'true' })
    const other = await temporaryDirectory()
    try {
      execFileSync('mount', ['--bind', other, bench.file('data')], { stdio: 'ignore' })
    } catch {
      return expect(process.geteuid?.()).not.toBe(undefined)
    }
    onTestFinished(() => void execFileSync('umount', ['-l', bench.file('data')]))
    writeFileSync(bench.file('data/pages'), 'first')
    const service = await bench.service()
    const target = await bench.capture(service)
    writeFileSync(bench.file('data/pages'), 'second')
    const swap = service.swap(await bench.staged(service, target), bench.content)
    await swap.stop!()
    await swap.lastCapture()
    await swap.forward()
    expect(readFileSync(path.join(other, 'pages'), 'utf8')).toBe('first')
    await swap.back()
    await swap.start!()
    expect(readFileSync(path.join(other, 'pages'), 'utf8')).toBe('second')
    await swap.discard()
  })
})
