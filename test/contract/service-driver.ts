import { describe, expect, test } from 'vitest'
import type { Level, ServiceRecord } from '../../src/domain/manifest.ts'
import type { Staged } from '../../src/domain/swap.ts'
import { loadDriver } from '../../src/services/registry.ts'
import type { ServiceContext } from '../../src/services/service-driver.ts'
import { restoreId, ServiceBench } from '../support/service-bench.ts'
import { temporaryDirectory } from '../support/temporary.ts'

/**
 * What the contract suite needs to know of a driver, in test/samples/<type>.ts as the export `sample`.
 * Everything it makes is private to the running test and gone when that ends.
 */
export type DriverSample = {
  readonly type: string
  /** What is special about it, where a driver has several: the rights of the user, say. */
  readonly title?: string
  /**
   * Its data can be reached by commands alone. So it cannot be held (every capture is `live`), and whether it is there or damaged is for the
   * commands to say: where they cannot dump it, it is neither captured nor replaced.
   */
  readonly opaque?: true
  /** The level that a capture reaches, where it is not `frozen`: of a service that has no hold which ends with the process. */
  readonly level?: Level
  /** Processes are killed at every so many steps only: another sample of the same driver has them killed at each. */
  readonly stride?: number
  /** Live data in a new private place, filled, with odd values among it. */
  create(): Promise<LiveSample>
}

export type LiveSample = {
  /** As the configuration file would say it, without `type`. */
  readonly config: Readonly<Record<string, unknown>>
  /** A real path; the service lies in it or beside it, and `strangers` looks after the rest. */
  readonly projectDirectory: string
  /** Plain data only: it is given to other processes. */
  readonly context?: Partial<Pick<ServiceContext, 'environmentKey' | 'forbidden' | 'allowed'>>
  /** Adds, changes and removes some of the data; another `seed` makes other data. */
  change(seed: number): Promise<void>
  /** By the service's own means, equal when and only when the data is equal; also when it is absent or damaged (raw bytes then). */
  fingerprint(): Promise<string>
  /** A digest of what lies beside the service and must never be touched. */
  strangers(): Promise<string>
  /** Names of all in a server that carries this id: what is staged or set aside there for a restore. */
  leftOver?(id: string): Promise<readonly string[]>
  /** Makes the data absent, as someone would who removes it. */
  remove(): Promise<void>
  /** Ways in which the data gets damaged, by name; none where the service cannot be damaged from outside. */
  readonly ruins: Readonly<Record<string, () => Promise<void>>>
  /** A process that writes one numbered thing after the other and says which were acknowledged. Where others can write while we capture. */
  startWriter?(): Promise<SampleWriter>
  /** The numbers a writer wrote that are in the live data now, ascending. */
  written?(): Promise<readonly number[]>
  /** What an export's files hold, in the form that `fingerprint` gives. */
  fingerprintExport?(directory: string, paths: readonly string[]): Promise<string>
}

export type SampleWriter = {
  /** Numbers acknowledged until now, ascending. */
  acknowledged(): readonly number[]
  /** Ends the process; gives what was acknowledged in all. */
  stop(): Promise<readonly number[]>
}

/** Holds a driver to the laws of src/services/service-driver.ts and src/domain/swap.ts, in their words. */
export function describeDriver(sample: DriverSample): void {
  describe(`the ${sample.type} driver${sample.title === undefined ? '' : `, ${sample.title}`}`, () => {
    describeCapture(sample)
    describeSwap(sample)
    describeCrashes(sample)
    describePresence(sample)
    describeWriters(sample)
  })
}

function describeCapture(sample: DriverSample): void {
  test('what capture gives is canonical: unchanged data gives byte-identical streams', async () => {
    const bench = await ServiceBench.open(sample)
    const first = await bench.capture()
    const second = await bench.capture()
    expect(second.streams).toEqual(first.streams)
    expect(second.objects).toEqual(first.objects)
    expect(first.presence).toBe('present')
    await bench.live.change(1)
    expect((await bench.capture()).streams).not.toEqual(first.streams)
  })

  test('streams and objects are ordered by name, and hold as many bytes as they say', async () => {
    const bench = await ServiceBench.open(sample)
    const record = await bench.capture()
    for (const list of [record.streams, record.objects]) {
      expect(list.map((each) => each.name)).toEqual(list.map((each) => each.name).toSorted())
    }
    expect(record.level).toBe(sample.level ?? (sample.opaque ? 'live' : 'frozen'))
    for (const { content } of record.streams) {
      let bytes = 0
      for await (const part of bench.content.read(content)) bytes += part.length
      expect(bytes).toBe(content.bytes)
    }
  })

  test('a capture changes nothing', async () => {
    const bench = await ServiceBench.open(sample)
    const before = await bench.live.fingerprint()
    await bench.capture()
    expect(await bench.live.fingerprint()).toBe(before)
  })

  test('a capture can be closed at any point', async () => {
    const bench = await ServiceBench.open(sample)
    for (const steps of [0, 1, 2, 3]) {
      const capture = await (await bench.service()).capture(bench.content, {
        damage: 'keep',
        live: false,
        progress() {},
      })
      if (steps > 0) await capture.stop?.()
      if (steps > 0) await capture.hold(2000)
      if (steps > 1) await capture.point()
      if (steps > 2) await capture.release()
      await capture.close()
      await capture.close()
    }
    await bench.live.change(1)
  })

  test('what another environment gets holds nothing that must happen only once, and is restored like any record', async () => {
    const bench = await ServiceBench.open(sample)
    const driver = await loadDriver(sample.type)
    const record = await bench.capture()
    const copy = driver.forCopy?.(record)
    if (!copy) return expect(driver.forCopy).toBeUndefined()
    expect(copy.leaves).toMatch(/\d/)
    expect(copy.record.objects).not.toEqual(record.objects)
    expect(driver.forCopy!(copy.record)).toBeUndefined()
    const before = await bench.restore(copy.record)
    expect((await bench.capture()).streams).toEqual(copy.record.streams)
    expect(before.streams).toEqual(record.streams)
  })

  test('an export holds the data in files that the tools of the service read', async () => {
    const bench = await ServiceBench.open(sample)
    if (!bench.live.fingerprintExport) return expect(bench.live.fingerprintExport).toBeUndefined()
    const directory = await temporaryDirectory()
    const driver = await loadDriver(sample.type)
    const record = await bench.capture()
    const exported = await driver.export(record, bench.content, directory)
    expect(exported.map(({ stream }) => stream).toSorted()).toEqual(record.streams.map(({ name }) => name))
    const paths = exported.map((each) => each.path)
    expect(await bench.live.fingerprintExport(directory, paths)).toBe(await bench.live.fingerprint())
  })
}

export function describeSwap(sample: DriverSample): void {
  test('a restore brings back what was captured, and before() what it replaced', async () => {
    const { bench, target, wanted, replaced } = await twoStates(sample)
    const before = await bench.restore(target)
    expect(await bench.live.fingerprint()).toBe(wanted)
    expect((await bench.capture()).objects).toEqual(target.objects)
    await bench.restore(before)
    expect(await bench.live.fingerprint()).toBe(replaced)
  })

  test('nothing before forward changes the live data', async () => {
    const { bench, target, replaced } = await twoStates(sample)
    const staged = await bench.stage(target)
    expect(await bench.live.fingerprint()).toBe(replaced)
    const swap = await bench.swap(staged)
    await swap.stop?.()
    await swap.hold(5000)
    await swap.lastCapture()
    await swap.release()
    await swap.start?.()
    expect(await swap.inspect()).toBe('before')
    await swap.discard()
    expect(await bench.live.fingerprint()).toBe(replaced)
  })

  test('it touches exactly what its configuration names, and drops only what it made itself', async () => {
    const { bench, target } = await twoStates(sample)
    const strangers = await bench.live.strangers()
    await bench.restore(await bench.restore(target))
    expect(await bench.live.strangers()).toBe(strangers)
    expect(await bench.leftOver()).toEqual([])
  })

  test('forward, back and discard are idempotent, and end in after, before, and nothing left over', async () => {
    const { bench, target, wanted, replaced } = await twoStates(sample)
    const first = await bench.swap(await bench.stage(target))
    await first.hold(5000)
    const staged = await first.lastCapture()
    for (const time of [1, 2]) {
      await first.forward()
      expect([time, await first.inspect()]).toEqual([time, 'after'])
    }
    expect(first.catchUp !== undefined).toBe(staged.way === 'ahead')
    await first.readBack()
    await first.release()
    expect(await bench.live.fingerprint()).toBe(wanted)

    const second = await bench.swap(staged)
    await second.hold(5000)
    for (const time of [1, 2]) {
      await second.back()
      expect([time, await second.inspect()]).toEqual([time, 'before'])
    }
    await second.release()
    expect(await bench.live.fingerprint()).toBe(replaced)

    const third = await bench.swap(staged)
    await bench.finish(third)
    expect(await bench.live.fingerprint()).toBe(wanted)
    await third.discard()
    await third.discard()
    expect(await bench.live.fingerprint()).toBe(wanted)
    expect(await bench.leftOver()).toEqual([])
  })

  test('what was swapped is taken back by the same process, within the same hold', async () => {
    const { bench, target, replaced } = await twoStates(sample)
    const swap = await bench.swap(await bench.stage(target))
    await swap.prepare?.()
    await swap.stop?.()
    await swap.hold(5000)
    await swap.lastCapture()
    await swap.forward()
    await swap.back()
    expect(await swap.inspect()).toBe('before')
    await swap.release()
    await swap.start?.()
    expect(await bench.live.fingerprint()).toBe(replaced)
    await swap.discard()
    expect(await bench.leftOver()).toEqual([])
  })

  test('what a staging that was cut short left is swept, and a second sweep finds nothing', async () => {
    const { bench, target, replaced } = await twoStates(sample)
    await bench.stage(target)
    const service = await bench.service()
    await service.sweep(restoreId)
    await service.sweep(restoreId)
    expect(await bench.leftOver()).toEqual([])
    expect(await bench.live.fingerprint()).toBe(replaced)
  })
}

export function describeCrashes(sample: DriverSample): void {
  test('killed at any step, a swap is finished by another process, and can be undone', async () => {
    await killedAtEachStep(sample, async (bench, staged, { wanted, replaced, safety }) => {
      const swap = await bench.swap(staged)
      await bench.finish(swap)
      expect(await bench.live.fingerprint()).toBe(wanted)
      const before = await swap.before(bench.content, safety)
      await swap.discard()
      await bench.restore(before)
      expect(await bench.live.fingerprint()).toBe(replaced)
    })
  })

  test('killed at any step, a swap is taken back by another process', async () => {
    await killedAtEachStep(sample, async (bench, staged, { replaced }) => {
      const swap = await bench.swap(staged)
      await swap.hold(5000)
      await swap.back()
      expect(await swap.inspect()).toBe('before')
      await swap.release()
      expect(await bench.live.fingerprint()).toBe(replaced)
      await swap.discard()
      expect(await bench.leftOver()).toEqual([])
    })
  })
}

type KilledSwap = { readonly wanted: string; readonly replaced: string; readonly safety: ServiceRecord }

/** Once for each durable step: a process swaps and is killed right after it; then `recover` runs here, and brings back what was there. */
async function killedAtEachStep(
  sample: DriverSample,
  recover: (bench: ServiceBench, staged: Staged, states: KilledSwap) => Promise<void>,
): Promise<void> {
  const { bench, target, wanted, replaced } = await twoStates(sample)
  for (let step = 1; ; step += sample.stride ?? 1) {
    const safety = await bench.capture()
    const staged = await bench.stage(target, safety)
    const outcome = await bench.elsewhere({ task: 'swap', staged, killAtStep: step })
    await recover(bench, outcome.staged ?? staged, { wanted, replaced, safety })
    if (!outcome.killed) {
      expect(step, 'a swap traces its durable steps').toBeGreaterThan(2)
      return
    }
  }
}

function describePresence(sample: DriverSample): void {
  test('what is absent is recorded as absent, restored from nothing, and made absent again by undo', async () => {
    const bench = await ServiceBench.open(sample)
    const target = await bench.capture()
    const wanted = await bench.live.fingerprint()
    await bench.live.remove()
    if (sample.opaque) {
      await expect(bench.restore(target)).rejects.toMatchObject({ code: 'unavailable' })
      return
    }
    const gone = await bench.live.fingerprint()
    expect((await bench.probe()).presence).toBe('absent')
    const absent = await bench.capture()
    expect(absent).toMatchObject({ presence: 'absent', streams: [], objects: [], bytes: 0 })
    const before = await bench.restore(target)
    expect(await bench.live.fingerprint()).toBe(wanted)
    expect(before.presence).toBe('absent')
    const again = await bench.restore(before)
    expect(await bench.live.fingerprint()).toBe(gone)
    expect(again.streams).toEqual(target.streams)
    await bench.restore(absent)
    expect(await bench.live.fingerprint()).toBe(gone)
  })

  test('what is damaged is refused, or kept as the raw files it is, and undo brings the ruin back', {
    timeout: 120_000,
  }, async () => {
    for (const ruin of Object.keys((await sample.create()).ruins)) {
      const bench = await ServiceBench.open(sample)
      const target = await bench.capture()
      const wanted = await bench.live.fingerprint()
      await bench.live.ruins[ruin]!()
      const ruined = await bench.live.fingerprint()
      await expect(bench.capture('refuse'), ruin).rejects.toMatchObject({ code: 'damaged' })
      const before = await bench.restore(target)
      expect([ruin, before.presence]).toEqual([ruin, 'damaged'])
      expect([ruin, await bench.live.fingerprint()]).toEqual([ruin, wanted])
      await bench.restore(before)
      expect([ruin, await bench.live.fingerprint()]).toEqual([ruin, ruined])
      await bench.restore(target)
      expect([ruin, await bench.live.fingerprint()]).toEqual([ruin, wanted])
      expect(await bench.leftOver()).toEqual([])
    }
  })
}

export function describeWriters(sample: DriverSample): void {
  test('a capture is the state at point: what was acknowledged before it is in, what was written after it is not', async () => {
    const bench = await ServiceBench.open(sample)
    if (!bench.live.startWriter) return expect(bench.live.written).toBeUndefined()
    const writer = await bench.live.startWriter()
    await progress(writer)
    const before = writer.acknowledged().at(-1)!
    const record = await bench.capture('refuse', () => progress(writer))
    const all = await writer.stop()
    await bench.restore(record)
    const captured = await bench.live.written!()
    expect(captured).toEqual(Array.from(captured, (_, index) => index + 1))
    expect(captured.length).toBeGreaterThanOrEqual(before)
    expect(captured.length).toBeLessThan(all.at(-1)!)
  })

  test('when the process dies in any way, no writer is left waiting', async () => {
    const bench = await ServiceBench.open(sample)
    if (!bench.live.startWriter) return expect(bench.live.written).toBeUndefined()
    for (const task of ['hold for a capture', 'hold for a swap'] as const) {
      const staged = await bench.stage(await bench.capture())
      const writer = await bench.live.startWriter()
      await progress(writer)
      await bench.elsewhere({ task, staged })
      await progress(writer)
      await writer.stop()
      await (await bench.swap(staged)).discard()
    }
  })

  test('no write that a writer was told is done before the swap is lost: it is in what before gives', async () => {
    const bench = await ServiceBench.open(sample)
    if (!bench.live.startWriter) return expect(bench.live.written).toBeUndefined()
    const target = await bench.capture()
    const writer = await bench.live.startWriter()
    await progress(writer)
    const before = await bench.restore(target, () => progress(writer))
    await progress(writer)
    const acknowledged = await writer.stop()
    const after = new Set(await bench.live.written!())
    await bench.restore(before)
    const union = new Set([...(await bench.live.written!()), ...after])
    expect(acknowledged.filter((number) => !union.has(number))).toEqual([])
    expect(after.size).toBeGreaterThan(0)
  })
}

/** Waits until a writer has got some things done from now on. */
async function progress(writer: SampleWriter): Promise<void> {
  const from = writer.acknowledged().length
  const deadline = Date.now() + 15_000
  while (writer.acknowledged().length < from + 5) {
    if (Date.now() > deadline) throw new Error('the writer is stuck')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

async function twoStates(sample: DriverSample) {
  const bench = await ServiceBench.open(sample)
  const target = await bench.capture()
  const wanted = await bench.live.fingerprint()
  await bench.live.change(1)
  const replaced = await bench.live.fingerprint()
  expect(replaced).not.toBe(wanted)
  return { bench, target, wanted, replaced }
}
