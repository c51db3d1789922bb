import type { TreeEntry } from '../../domain/tree.ts'
import type { LiveContent } from './live-contents.ts'
import type { Mount } from './mount.ts'
import { type LiveEntry, linkTarget, metadataOf } from './walk.ts'

/**
 * How one path was, right before the swap, when that is not how the safety snapshot has it. No entry: it was not there. A file's entry
 * without content and link: its bytes are not in the store yet.
 */
export type Drift = { readonly path: string; readonly entry?: TreeEntry }

export type Sides = {
  readonly target: TreeEntry | undefined
  readonly live: LiveEntry | undefined
  readonly safety: TreeEntry | undefined
  /** Of the live file, where it was looked into. */
  readonly content: LiveContent | undefined
}

export function driftOf(mount: Mount, path: string, { target, live, safety, content }: Sides): Drift | undefined {
  if (!live) return safety ? { path } : undefined
  const entry: TreeEntry = { path, type: live.type, ...metadataOf(live.stat) }
  if (live.type === 'symlink') {
    const pointsTo = linkTarget(mount, path)
    return pointsTo === undefined ? { path } : unlessSame({ ...entry, target: pointsTo }, safety)
  }
  if (live.type === 'directory') return unlessSame(entry, safety)
  if (live.link !== undefined) return unlessSame({ ...entry, link: live.link }, safety)
  if (!content) return { path, entry }
  const stored = [safety?.content, content.content, target?.content].find((each) => each?.sha256 === content.sha256)
  const sparse = content.sparse ? { sparse: true as const } : {}
  return unlessSame({ ...entry, ...sparse, ...(stored ? { content: stored } : {}) }, safety)
}

function unlessSame(entry: TreeEntry, safety: TreeEntry | undefined): Drift | undefined {
  const isSame =
    safety !== undefined &&
    entry.type === safety.type &&
    entry.mode === safety.mode &&
    entry.uid === safety.uid &&
    entry.gid === safety.gid &&
    entry.mtimeNs === safety.mtimeNs &&
    entry.target === safety.target &&
    entry.link === safety.link &&
    entry.sparse === safety.sparse &&
    entry.content?.sha256 === safety.content?.sha256
  return isSame ? undefined : { path: entry.path, entry }
}
