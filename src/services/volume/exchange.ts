import { chmodSync, lstatSync, renameSync } from 'node:fs'
import path from 'node:path'
import type { ContentSource } from '../../domain/content.ts'
import { systemCode } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged, SwapState } from '../../domain/swap.ts'
import { bytePath, parentPath } from '../../domain/tree.ts'
import { nearestFolder } from '../files/area.ts'
import { type Mount, stagingPrefix } from '../files/mount.ts'
import { isMountPoint } from '../files/mount-points.ts'
import { syncFolder } from '../files/place.ts'
import { mayWriteIn, type StagedFiles, stageFiles } from '../files/staging.ts'
import { FilesSwap } from '../files/swap.ts'
import { lstat } from '../files/walk.ts'
import type { StageOptions } from '../service-driver.ts'
import type { Volume } from './volume.ts'

/** `hides`: the folder is moved out of sight while its entries are swapped. */
type StagedVolume = StagedFiles & { readonly hides: boolean }

export async function stageVolume(
  volume: Volume,
  target: ServiceRecord,
  live: ServiceRecord,
  options: StageOptions,
): Promise<Staged> {
  const { root, mountAt, commands } = volume
  const isWhole = target.presence === 'present' && live.presence === 'present'
  const hides = isWhole && !isMountPoint(root) && mayWriteIn(nearestFolder(parentPath(root)))
  const staged = await stageFiles(mountAt(root), target, live, { ...options, beside: hides })
  const warnings = [...(staged.warnings ?? [])]
  if (!commands) warnings.push('nothing stops its service: if it runs, its files are swapped under it')
  return { ...staged, hides, warnings }
}

/**
 * The swap of a volume's files: that of a mount, entry by entry, while the folder itself is out of sight. So a service that somebody starts in the middle, a
 * machine that comes up after a power loss for example, finds no data at all rather than a mixture of two states.
 */
export class Exchange {
  readonly #mountAt: (root: string) => Mount
  readonly #source: ContentSource | undefined
  readonly #staged: StagedVolume

  constructor(mountAt: (root: string) => Mount, staged: Staged, source: ContentSource | undefined) {
    this.#mountAt = mountAt
    this.#source = source
    this.#staged = staged as unknown as StagedVolume
  }

  /** The swap of the files, wherever their folder is now. */
  files(): FilesSwap {
    const { root, hides } = this.#staged
    const isHidden = hides && exists(this.#hidden)
    const at = isHidden ? this.#hidden : root
    return new FilesSwap(this.#mountAt(at), { ...this.#staged } as unknown as Staged, this.#source)
  }

  async inspect(): Promise<SwapState> {
    return exists(this.#hidden) ? 'between' : this.files().inspect()
  }

  async forward(): Promise<void> {
    await this.#outOfSight((files) => files.forward())
  }

  async back(): Promise<void> {
    await this.#outOfSight((files) => files.back())
  }

  /** Back in its place, whatever is in it. */
  show(): void {
    show(this.#mountAt(this.#staged.root), this.#hidden)
  }

  async #outOfSight(work: (files: FilesSwap) => Promise<void>): Promise<void> {
    this.#hide()
    await work(this.files())
    this.show()
  }

  #hide(): void {
    const { root, hides } = this.#staged
    if (!hides || exists(this.#hidden) || !lstat({ root }, '')?.isDirectory()) return
    move(root, this.#hidden)
    syncFolder(bytes(parentPath(root)))
    this.#mountAt(root).trace('volume: hidden')
  }

  get #hidden(): string {
    return `${bytePath(this.#staged.area)}-hidden`
  }
}

/** Should a restore leave the folder out of sight: in either place where its staging area may have been. */
export async function unhideAll({ root, mountAt, privateDirectory }: Volume, id: string): Promise<void> {
  const parent = nearestFolder(parentPath(root))
  for (const area of [path.join(privateDirectory, `restore-${id}`), path.join(parent, `${stagingPrefix}${id}`)])
    show(mountAt(root), `${bytePath(area)}-hidden`)
}

function show({ root, trace }: Mount, hidden: string): void {
  if (!exists(hidden)) return
  // What somebody made there meanwhile is kept beside, and never mixed with it.
  for (let count = 1; exists(root); count++) {
    const stray = `${root}.git-env-stray-${count}`
    if (!exists(stray)) move(root, stray)
  }
  move(hidden, root)
  syncFolder(bytes(parentPath(root)))
  trace('volume: in its place again')
}

function exists(file: string): boolean {
  return lstatSync(bytes(file), { throwIfNoEntry: false }) !== undefined
}

/** An ordinary user may move a folder to another place only while it is writable. */
function move(from: string, to: string): void {
  try {
    renameSync(bytes(from), bytes(to))
  } catch (error) {
    if (systemCode(error) !== 'EACCES') throw error
    const mode = lstatSync(bytes(from)).mode & 0o7777
    chmodSync(bytes(from), mode | 0o700)
    renameSync(bytes(from), bytes(to))
    chmodSync(bytes(to), mode)
  }
}

function bytes(file: string): Buffer {
  return Buffer.from(file, 'latin1')
}
