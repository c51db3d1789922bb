import { accessSync, constants } from 'node:fs'
import { formatBytes, plural } from '../../domain/format-text.ts'
import type { Probe } from '../service-driver.ts'
import { ContentCache } from './content-cache.ts'
import { at, type Mount, shown } from './mount.ts'
import { mountPointsBelow } from './mount-points.ts'
import { ordinaryUser } from './rights.ts'
import { describeRuin, ruinHint } from './ruin.ts'
import { lstat, Pauses, walk } from './walk.ts'

/** How long a probe may look at a mount that no snapshot was taken of yet. */
const patienceMs = 500

const rung =
  'files that change while a snapshot is taken are named in it; the application pausing its writes would give the common point'

export async function probeMount(mount: Mount): Promise<Probe> {
  const base = { versions: {}, rung, swap: 'in place' } as const
  const top = lstat(mount, '')
  if (!top) return { ...base, presence: 'absent', summary: 'no folder', bytes: 0, warnings: [] }
  const ruin = describeRuin(mount)
  if (ruin !== undefined) {
    const bytes = top.isFile() ? Number(top.size) : 0
    return { ...base, presence: 'damaged', summary: ruin, bytes, warnings: [ruinHint] }
  }
  const { files, bytes, atLeast, unsupported, otherDevices } = await measure(mount)
  const summary = `${atLeast ? 'at least ' : ''}${plural(files, 'file')}, ${formatBytes(bytes)}`
  const warnings: string[] = []
  if (unsupported.length > 0) {
    const more = unsupported.length > 3 ? ', …' : ''
    warnings.push(
      `not captured, since it is no file (${unsupported.length}): ${unsupported.slice(0, 3).join(', ')}${more}`,
    )
  }
  for (const path of otherDevices)
    warnings.push(`${path} is another file system: it is captured, but a restore that would change it is refused`)
  if (!isWritable(mount)) warnings.push('this user may not write to the folder: a restore will be refused')
  return { ...base, presence: 'present', summary, bytes, warnings }
}

type Measure = {
  readonly files: number
  readonly bytes: number
  readonly atLeast: boolean
  readonly unsupported: readonly string[]
  readonly otherDevices: readonly string[]
}

/** Walks for a while; a mount too large for that is told by what the last snapshot found. */
async function measure(mount: Mount): Promise<Measure> {
  const end = performance.now() + patienceMs
  const pauses = new Pauses(mount.signal)
  const unsupported: string[] = []
  const otherDevices = mountPointsBelow(mount.root).map(shown)
  let files = 0
  let bytes = 0
  for (const { type, stat, link } of walk(mount, { unsupported: (name) => unsupported.push(shown(name)) })) {
    await pauses.due()
    if (type === 'file') files++
    if (type === 'file' && link === undefined) bytes += Number(stat.size)
    if (performance.now() < end) continue
    const last = (await ContentCache.load(mount.privateDirectory)).totals()
    const known = last.files > files ? last : { files, bytes }
    return { ...known, atLeast: last.files <= files, unsupported, otherDevices }
  }
  return { files, bytes, atLeast: false, unsupported, otherDevices }
}

function isWritable(mount: Mount): boolean {
  const user = ordinaryUser()
  const stat = lstat(mount, '')
  if (user !== undefined && stat?.uid === BigInt(user)) return true
  try {
    accessSync(at(mount, ''), constants.W_OK)
    return true
  } catch {
    return false
  }
}
