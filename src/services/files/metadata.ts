import { chmodSync } from 'node:fs'
import { setFileTimes, setFolderTimes } from './exact-times.ts'
import { at, type Mount } from './mount.ts'
import type { Operation } from './operations.ts'
import { ordinaryUser } from './rights.ts'
import { setOwnerAndMode } from './tree-writer.ts'
import { lstat, type Metadata, metadataOf } from './walk.ts'

/** Metadata that a path is to have; only its mode where nothing else is to change. */
export type Application = {
  readonly path: string
  readonly metadata: Metadata
  readonly modeOnly?: boolean
  /** Only when it has this now: what a writer set since stays. */
  readonly onlyOver?: Metadata
}

export function forwardMetadata(operations: readonly Operation[]): Application[] {
  return operations.flatMap((each): Application[] => {
    if (each.kind === 'change') return [{ path: each.path, metadata: each.new }]
    // Folders that are put may have been opened to be moved.
    const isFolder = each.kind === 'put' && each.stamp.type === 'directory'
    return isFolder ? [{ path: each.path, metadata: each.stamp.metadata }] : []
  })
}

export function backMetadata(operations: readonly Operation[]): Application[] {
  return operations.flatMap((each): Application[] => {
    if (each.kind === 'change') {
      return [{ path: each.path, metadata: each.old, ...(each.type === 'directory' ? {} : { onlyOver: each.new }) }]
    }
    const wasOpened = ordinaryUser() !== undefined && each.kind !== 'part' && each.old !== undefined
    return wasOpened ? [{ path: each.path, metadata: each.old!, modeOnly: true }] : []
  })
}

/** Sets metadata of what is there. What is not, or belongs to somebody else whose it must stay, is passed over. */
export async function applyMetadata(mount: Mount, applications: readonly Application[]): Promise<void> {
  const user = ordinaryUser()
  const due = applications.flatMap((each) => {
    const stat = lstat(mount, each.path)
    if (!stat || (user !== undefined && stat.uid !== BigInt(user))) return []
    return each.onlyOver && !isEqual(metadataOf(stat), each.onlyOver) ? [] : [{ ...each, stat }]
  })
  for (const { path, metadata } of due.filter((each) => each.modeOnly && each.stat.isDirectory())) {
    chmodSync(at(mount, path), metadata.mode)
  }
  const whole = due.filter((each) => !each.modeOnly)
  const files = whole.filter(({ stat }) => !stat.isDirectory())
  await setFileTimes(files.map(({ path, metadata }) => ({ file: at(mount, path), mtimeNs: metadata.mtimeNs })))
  const folders = whole.filter(({ stat }) => stat.isDirectory())
  const times = folders.map(({ path, metadata: { mtimeNs }, stat }) => ({
    path,
    mtimeNs,
    mode: Number(stat.mode & 0o7777n),
  }))
  if (times.length > 0) await setFolderTimes(at(mount, ''), times, new AbortController().signal)
  // From the deepest up: a folder that is closed first would keep us from those in it.
  for (const { path, metadata } of whole.toReversed()) setOwnerAndMode(at(mount, path), metadata)
}

function isEqual(a: Metadata, b: Metadata): boolean {
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && a.mtimeNs === b.mtimeNs
}
