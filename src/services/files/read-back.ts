import type { BigIntStats } from 'node:fs'
import { EnvError } from '../../domain/errors.ts'
import { type Area, aside, exists } from './area.ts'
import { isClearlyBefore } from './identity.ts'
import { type Mount, shown } from './mount.ts'
import type { Change, Operation, Stamp } from './operations.ts'
import { ordinaryUser } from './rights.ts'
import { lstat, type Metadata, metadataOf, typeOf } from './walk.ts'

/**
 * Whether what was staged, which was read back then, stands where it belongs: the same inodes, with their sizes and metadata. Writers of
 * files are not held, so what one of them replaced, removed or wrote to since the swap began is no damage; a file that has the staged
 * time, but not the staged size or mode, is.
 */
export async function compareSwapped(
  mount: Mount,
  area: Area,
  operations: readonly Operation[],
  begunNs: bigint,
): Promise<void> {
  for (const operation of operations) {
    const stat = lstat(mount, operation.path)
    const isRight =
      operation.kind === 'removal'
        ? !stat || exists(area, aside(operation.number))
        : operation.kind === 'change'
          ? isChanged(stat, operation, begunNs)
          : !(operation.kind === 'put' && exists(area, operation.place)) && isPlaced(stat, operation.stamp, begunNs)
    if (isRight) continue
    throw new EnvError('damaged', `${shown(operation.path)} in the mount ${mount.name} is not as it was staged`, {
      details: { path: shown(operation.path), operation: operation.kind },
    })
  }
}

function isPlaced(stat: BigIntStats | undefined, stamp: Stamp, begunNs: bigint): boolean {
  if (!stat || String(stat.ino) !== stamp.inode || !isClearlyBefore(stat.mtimeNs, begunNs)) return true
  const hasSize = stamp.type !== 'file' || Number(stat.size) === stamp.bytes
  return typeOf(stat) === stamp.type && hasSize && hasMetadata(stat, stamp.metadata)
}

function isChanged(stat: BigIntStats | undefined, { type, ...change }: Change, begunNs: bigint): boolean {
  if (!stat || typeOf(stat) !== type || !isClearlyBefore(stat.mtimeNs, begunNs)) return true
  const user = ordinaryUser()
  return (user !== undefined && stat.uid !== BigInt(user)) || hasMetadata(stat, change.new)
}

/** Times may be off by what Node can set where the system has no exact tool. */
const timeToleranceNs = 1000n

function hasMetadata(stat: BigIntStats, wanted: Metadata): boolean {
  const { mode, uid, gid, mtimeNs } = metadataOf(stat)
  const off = mtimeNs - wanted.mtimeNs
  const isOnTime = off < timeToleranceNs && off > -timeToleranceNs
  return (stat.isSymbolicLink() || mode === wanted.mode) && uid === wanted.uid && gid === wanted.gid && isOnTime
}
