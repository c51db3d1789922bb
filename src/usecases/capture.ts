import type { ContentSink } from '../domain/content.ts'
import type { Level, Manifest, ServiceRecord } from '../domain/manifest.ts'
import type { Capture, Service } from '../services/service-driver.ts'
import { holdLimitMs, holdTogether } from './hold.ts'
import type { Freeze } from './hooks.ts'
import type { Ports } from './ports.ts'

/** Writers never wait longer than one attempt for a snapshot that could not be taken yet. */
const attemptMs = 20

export type Captured = {
  readonly services: readonly ServiceRecord[]
  readonly consistency: Manifest['consistency']
}

export type CaptureRequest = {
  readonly damage: 'keep' | 'refuse'
  readonly live: boolean
  /** Whether services may be stopped that can be held in no other way; else those are taken `live`. */
  readonly stop?: boolean
  /** The project's own hooks around the common point; none where that is taken for ourselves alone. */
  readonly freeze?: Freeze | undefined
}

/**
 * Captures services and mounts at one point in time: each is prepared, then all are held together, all take their point, all are released,
 * and only then copied, with nobody waiting. Whatever fails, nobody is left waiting.
 */
export async function capture(
  ports: Ports,
  services: readonly Service[],
  sink: ContentSink,
  request: CaptureRequest,
): Promise<Captured> {
  const captures: Capture[] = []
  try {
    ports.progress.phase('reading ahead')
    for (const service of services) {
      captures.push(
        await service.capture(sink, {
          damage: request.damage,
          live: request.live,
          progress: (bytes: number) => ports.progress.advance(bytes),
        }),
      )
    }
    const { heldMicros, skewMicros, copying } = await whileFrozen(ports, request, async () => {
      if (request.stop && !request.live) await stopAll(captures)
      const marked = await mark(captures, request.live, ports.signal)
      ports.trace('snapshot: point taken')
      ports.progress.phase('copying')
      const copying = copyAll(captures)
      // Whoever waits for it is told when it fails, not the process.
      copying.catch(() => {})
      await Promise.allSettled(captures.map((each) => each.start?.()))
      return { ...marked, copying }
    })
    const records = await copying
    ports.signal.throwIfAborted()
    const level = lowest(records.map((record) => record.level))
    return { services: records, consistency: { level, heldMicros, skewMicros } }
  } finally {
    await Promise.allSettled(captures.map((each) => each.close()))
    for (const text of services.flatMap((service) => service.warnings?.() ?? [])) ports.progress.warn(text)
  }
}

async function whileFrozen<T>(ports: Ports, { live, freeze }: CaptureRequest, work: () => Promise<T>): Promise<T> {
  const frozen = live ? undefined : await freeze?.()
  try {
    return await work()
  } finally {
    const failure = await frozen?.thaw()
    if (failure !== undefined) ports.progress.warn(failure)
  }
}

/** All have ended when this does, also when one failed: what is being stopped must not be started meanwhile. */
async function stopAll(captures: readonly Capture[]): Promise<void> {
  const outcomes = await Promise.allSettled(captures.map((each) => each.stop?.()))
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed) throw failed.reason
}

/** The only part during which an application may wait. */
async function mark(
  captures: readonly Capture[],
  live: boolean,
  signal: AbortSignal,
): Promise<{ heldMicros: number; skewMicros: number }> {
  const options = { limitMs: holdLimitMs, longestAttemptMs: attemptMs, signal }
  const start = live ? performance.now() : await holdTogether(captures, options)
  const held = performance.now()
  await Promise.all(captures.map((each) => each.point()))
  const taken = performance.now()
  await Promise.all(captures.map((each) => each.release()))
  const released = performance.now()
  return {
    heldMicros: live ? 0 : Math.round((released - start) * 1000),
    skewMicros: Math.round((taken - held) * 1000),
  }
}

async function copyAll(captures: readonly Capture[]): Promise<ServiceRecord[]> {
  const results = await Promise.allSettled(captures.map((each) => each.copy()))
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
  return results.map((result) => (result as PromiseFulfilledResult<ServiceRecord>).value)
}

function lowest(levels: readonly Level[]): Level {
  const order: readonly Level[] = ['live', 'point', 'frozen']
  return order.find((level) => levels.includes(level)) ?? 'frozen'
}
