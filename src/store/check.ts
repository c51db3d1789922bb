import type { StorageBackend } from '../backends/storage-backend.ts'
import type { Content } from '../domain/content.ts'
import type { Manifest } from '../domain/manifest.ts'
import type { FramePlace } from '../domain/pack-index.ts'
import { inBatches } from './in-batches.ts'
import type { PackCatalog } from './pack-catalog.ts'
import { inspectPack, type PackDamage } from './pack-inspection.ts'
import { SnapshotPlan } from './snapshot-plan.ts'
import type { CheckOptions, Damage } from './store.ts'
import type { ReadChunk } from './stored-content.ts'

export type StoreParts = {
  readonly backend: StorageBackend
  readonly catalog: PackCatalog
  readonly read: (content: Content) => AsyncIterable<Uint8Array>
  readonly readChunk: ReadChunk
  readonly sound: RecentlySound
}

/**
 * Frames whose every byte was read and found right a moment ago: a restore checks the snapshot and then what it has just stored, which is
 * mostly the same frames. Frames are never written again, so only a fault of the disk within these minutes stays unseen until they are used.
 */
export class RecentlySound {
  readonly #readAt = new Map<string, number>()

  has(frame: FramePlace, now: number): boolean {
    const at = this.#readAt.get(keyOf(frame))
    return at !== undefined && now - at < soundForMs
  }

  add(frame: FramePlace, now: number): void {
    this.#readAt.set(keyOf(frame), now)
  }
}

const soundForMs = 600_000

function keyOf({ pack, offset }: FramePlace): string {
  return `${pack.id}:${offset}`
}

/** Packs being read at once: one is decoded while the other is being read. */
export const packsAtOnce = 2

/** What a restore of this snapshot would stumble over; see Store.check. */
export async function checkSnapshot(
  parts: StoreParts,
  manifest: Manifest,
  options: CheckOptions,
): Promise<readonly Damage[]> {
  const findings = new PackFindings()
  const inspected = new Set<number>()
  for (;;) {
    const plan = new SnapshotPlan({
      ...parts,
      index: parts.catalog.index,
      damageOf: (entry) => findings.damageOf(parts.catalog, entry),
      signal: options.signal,
    })
    await plan.addManifest(manifest)
    const now = performance.now()
    const isSound = (frame: number) => parts.sound.has(parts.catalog.index.frame(frame), now)
    const fresh = [...plan.frames].filter((frame) => !inspected.has(frame) && !isSound(frame))
    if (await indexChanged(parts.catalog, fresh)) continue
    // Where damage was found, the next round looks whether the same chunks lie elsewhere too.
    if (!options.data || fresh.length === 0) return [...plan.damages.values()]
    await inspectFrames(parts, fresh, findings, options)
    for (const frame of fresh) inspected.add(frame)
    if (findings.size === 0) return [...plan.damages.values()]
  }
}

/** Whether a pack among these was not what the index said: then the plan has to be made again. */
async function indexChanged(catalog: PackCatalog, frames: readonly number[]): Promise<boolean> {
  const packs = new Set(frames.map((frame) => catalog.index.frame(frame).pack))
  let changed = false
  await inBatches(packs, packsAtOnce, async (pack) => {
    if (pack.state === 'listed' && !(await catalog.trust(pack))) changed = true
  })
  return changed
}

/** What inspections found, by pack number of the pack index. */
export class PackFindings {
  readonly #packs = new Map<number, PackDamage>()

  get size(): number {
    return this.#packs.size
  }

  add(pack: number, damage: PackDamage): void {
    if (damage.whole === undefined && damage.frames.size === 0) return
    const known = this.#packs.get(pack)
    const frames = new Map([...(known?.frames ?? []), ...damage.frames])
    this.#packs.set(pack, { whole: known?.whole ?? damage.whole, frames })
  }

  damageOf(catalog: PackCatalog, entry: number): string | undefined {
    const pack = catalog.index.packOf(entry)
    const found = this.#packs.get(pack.number)
    return found?.whole ?? found?.frames.get(catalog.index.place(entry).frame)
  }
}

async function inspectFrames(
  parts: StoreParts,
  frames: readonly number[],
  findings: PackFindings,
  options: CheckOptions,
): Promise<void> {
  const { index } = parts.catalog
  const byPack = new Map<number, number[]>()
  let total = 0
  for (const frame of [...frames].sort((a, b) => a - b)) {
    const { pack, storedBytes } = index.frame(frame)
    total += storedBytes
    const known = byPack.get(pack.number)
    if (known) known.push(frame)
    else byPack.set(pack.number, [frame])
  }
  let done = 0
  const progress = (bytes: number) => {
    done += bytes
    options.progress?.(done, total)
  }
  await inBatches(byPack, packsAtOnce, async ([number, wanted]) => {
    const inspection = { frames: wanted, data: true, progress, signal: options.signal }
    const pack = index.packs[number]!
    const damage = await inspectPack(parts.backend, index, pack, inspection)
    findings.add(number, damage)
    const now = performance.now()
    for (const frame of damage.whole === undefined ? wanted : []) {
      if (!damage.frames.has(frame)) parts.sound.add(index.frame(frame), now)
    }
    if (damage.whole !== undefined || damage.frames.size > 0) await parts.catalog.mark(pack, 'damaged')
  })
}
