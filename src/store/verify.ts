import { EnvError, messageOf } from '../domain/errors.ts'
import type { Manifest } from '../domain/manifest.ts'
import { decodeManifest } from '../domain/manifest-codec.ts'
import { PackFindings, packsAtOnce, type StoreParts } from './check.ts'
import { inBatches } from './in-batches.ts'
import { digestOf, manifestPrefix, packName } from './object-names.ts'
import { inspectPack } from './pack-inspection.ts'
import { SnapshotPlan } from './snapshot-plan.ts'
import type { CheckOptions, Damage, VerifyReport } from './store.ts'

type Found = Damage & { readonly snapshots: Set<string> }

/** Looks at every object of the store, then asks of every snapshot what of the damage hits it; see Store.verify. */
export async function verifyStore(parts: StoreParts, options: CheckOptions): Promise<VerifyReport> {
  const found = new Map<string, Found>()
  const report = ({ object, reason }: Damage) => {
    const known = found.get(object) ?? { object, reason, snapshots: new Set<string>() }
    found.set(object, known)
    return known
  }
  const findings = new PackFindings()
  const { packs, bytesRead } = await verifyPacks(parts, findings, report, options)
  for (const note of parts.catalog.notes.values()) report(note)
  const hits = new SnapshotHits(parts, findings, options)
  let manifests = 0
  for await (const { name } of parts.backend.list(manifestPrefix)) {
    const digest = digestOf(name, manifestPrefix)
    if (!digest) continue
    options.signal?.throwIfAborted()
    manifests++
    const manifest = await readManifest(parts, name, digest, report)
    if (!manifest) continue
    for (const damage of await hits.of(manifest)) report(damage).snapshots.add(manifest.id)
  }
  const damages = [...found.values()].map((damage) => ({ ...damage, snapshots: [...damage.snapshots].sort() }))
  return { damages: damages.sort((a, b) => (a.object < b.object ? -1 : 1)), packs, manifests, bytesRead }
}

async function verifyPacks(
  parts: StoreParts,
  findings: PackFindings,
  report: (damage: Damage) => unknown,
  options: CheckOptions,
): Promise<{ readonly packs: number; readonly bytesRead: number }> {
  const { index } = parts.catalog
  await inBatches(index.packs, packsAtOnce, async (pack) => {
    if (pack.state === 'listed') await parts.catalog.trust(pack)
  })
  const packs = index.packs.filter((pack) => pack.state !== 'replaced' && pack.state !== 'missing')
  const total = packs.reduce((sum, pack) => sum + pack.bytes, 0)
  let bytesRead = 0
  const progress = (bytes: number) => {
    bytesRead += bytes
    options.progress?.(bytesRead, total)
  }
  await inBatches(packs, packsAtOnce, async (pack) => {
    options.signal?.throwIfAborted()
    const inspection = { frames: undefined, data: options.data, progress, signal: options.signal }
    const damage = await inspectPack(parts.backend, index, pack, inspection)
    findings.add(pack.number, damage)
    const reason = damage.whole ?? [...damage.frames.values()][0]
    if (options.data) await parts.catalog.mark(pack, reason === undefined ? 'whole' : 'damaged')
    if (reason !== undefined) report({ object: packName(pack.id), reason })
  })
  return { packs: packs.length, bytesRead }
}

async function readManifest(
  parts: StoreParts,
  name: string,
  digest: string,
  report: (damage: Damage) => unknown,
): Promise<Manifest | undefined> {
  try {
    return decodeManifest(await parts.backend.get(name), digest)
  } catch (error) {
    if (!(error instanceof EnvError) || (error.code !== 'damaged' && error.code !== 'refused')) throw error
    report({ object: name, reason: messageOf(error) })
    return undefined
  }
}

/** Which damages hit a snapshot. Snapshots share most of their streams, so each stream is looked at once. */
class SnapshotHits {
  readonly #plan: () => SnapshotPlan
  readonly #streams = new Map<string, readonly Damage[]>()

  constructor(parts: StoreParts, findings: PackFindings, options: CheckOptions) {
    const { catalog } = parts
    const damageOf = (entry: number) => findings.damageOf(catalog, entry)
    this.#plan = () => new SnapshotPlan({ ...parts, index: catalog.index, damageOf, signal: options.signal })
  }

  async of(manifest: Manifest): Promise<readonly Damage[]> {
    const damages: Damage[] = []
    for (const service of manifest.services) {
      for (const stream of service.streams) {
        const key = `${stream.kind} ${JSON.stringify(stream.content)}`
        let known = this.#streams.get(key)
        if (!known) {
          const plan = this.#plan()
          await plan.addStream(stream)
          known = [...plan.damages.values()]
          this.#streams.set(key, known)
        }
        damages.push(...known)
      }
    }
    return damages
  }
}
