import { createHash } from 'node:crypto'
import { EnvError } from '../../domain/errors.ts'
import { isWithin, parentPath, type TreeEntry } from '../../domain/tree.ts'
import { type Drift, driftOf } from './drift.ts'
import { identityOf } from './identity.ts'
import { type LinedUp, lineUp } from './line-up.ts'
import type { LiveContent, LiveContents } from './live-contents.ts'
import { type Mount, shown } from './mount.ts'
import { mountPointsBelow } from './mount-points.ts'
import type { Selection } from './selection.ts'
import type { TargetTree } from './target-tree.ts'
import { type LiveEntry, linkTarget, type Metadata, metadataOf, Pauses, walk } from './walk.ts'

/** What must happen for a mount to become the target, each at the highest path that will do. */
export type Plan = {
  readonly removals: readonly PlannedRemoval[]
  readonly puts: readonly PlannedPut[]
  readonly changes: readonly PlannedChange[]
  /** How the live tree differs from the safety snapshot, in the order of a listing. */
  readonly drift: readonly Drift[]
  /** Of every live path with its identity; undefined when some change could go unseen in it. */
  readonly seen: string | undefined
}

/** The path and all below it goes. */
type PlannedRemoval = { readonly path: string; readonly old: Metadata }

/** The first entry, with those that lie in it, comes to its path; what stands there goes. */
export type PlannedPut = {
  readonly path: string
  readonly entries: readonly TreeEntry[]
  readonly old?: Metadata
  /** Some of it is one of several names of a file. */
  readonly linked: boolean
}

/** What stays gets other metadata; a folder whose entries change has it set again. */
type PlannedChange = {
  readonly path: string
  readonly type: TreeEntry['type']
  readonly old: Metadata
  readonly new: Metadata
}

export type PlanInput = {
  readonly mount: Mount
  readonly target: TargetTree
  readonly safety: () => AsyncIterable<TreeEntry>
  readonly contents: LiveContents
  readonly selection: Selection
  /** An instant of the files' clock at which the plan begins. */
  readonly isSettled: (ctimeNs: bigint) => boolean
  /** undefined: root, who may set every owner. */
  readonly user: number | undefined
}

/**
 * Hard links make files depend on each other: when one name of a file is put anew, all of them must be. Since the first name has gone by
 * when the second one tells, the plan is made again until no more of them turn up; without hard links that is once.
 */
export async function makePlan(input: PlanInput): Promise<Plan> {
  const linked = new LinkedFiles()
  for (;;) {
    const known = linked.size
    const plan = await new Planner(input, linked).run()
    if (linked.size === known) return plan
  }
}

/** Files with several names of which one is put or removed: in the target by their first name, live by their inode. */
class LinkedFiles {
  readonly #names = new Set<string>()

  get size(): number {
    return this.#names.size
  }

  add(target: TreeEntry | undefined, live: LiveEntry | undefined): void {
    if (target) this.#names.add(`target ${target.link ?? target.path}`)
    if (live) this.#names.add(`live ${live.stat.ino}`)
  }

  has(target: TreeEntry, live: LiveEntry): boolean {
    return this.#names.has(`target ${target.link ?? target.path}`) || this.#names.has(`live ${live.stat.ino}`)
  }
}

/** A live folder that the planner is in. */
type Frame = {
  readonly live: LiveEntry
  /** `merge`: stays; `gone`: goes with all in it, unless something in it must stay; `replace`: something else takes its place. */
  readonly fate: 'merge' | 'gone' | 'replace'
  /** What it becomes; undefined: it keeps its metadata. */
  readonly target: TreeEntry | undefined
  /** Of a folder that goes: what of it goes if it cannot go as a whole. */
  readonly removals: PlannedRemoval[]
  touched: boolean
}

type OpenPut = {
  readonly path: string
  readonly entries: TreeEntry[]
  readonly old?: Metadata
  linked: boolean
  /** Not only folders above what is chosen. */
  wanted: boolean
}

/** Largest file that is written again, outside the hold, rather than given its time by a process of its own inside it. */
const rewriteBytes = 1 << 20

class Planner {
  readonly #input: PlanInput
  readonly #linked: LinkedFiles
  readonly #frames: Frame[] = []
  readonly #removals: PlannedRemoval[] = []
  readonly #puts: OpenPut[] = []
  readonly #changes: PlannedChange[] = []
  readonly #drift: Drift[] = []
  /** Folders in which something is left alone. */
  readonly #keeping = new Set<string>()
  readonly #found = new Set<string>()
  readonly #digest = createHash('sha256')
  /** Of live files with several names: the first one that is chosen, by inode. */
  readonly #chosenNames = new Map<bigint, string>()
  #settled = true
  #device: bigint | undefined
  readonly #mountPoints: readonly string[]

  constructor(input: PlanInput, linked: LinkedFiles) {
    this.#input = input
    this.#linked = linked
    this.#mountPoints = mountPointsBelow(input.mount.root)
  }

  async run(): Promise<Plan> {
    const { mount, target, safety, selection } = this.#input
    const pauses = new Pauses(mount.signal)
    const live = walk(mount, {
      leftAlone: (path) => this.#keep(path),
    })
    for await (const row of lineUp(target.entries(), live, safety())) {
      await pauses.due()
      while (this.#frames.length > 0 && !isWithin(this.#frames.at(-1)!.live.path, row.path)) this.#leave()
      await this.#take(row)
    }
    while (this.#frames.length > 0) this.#leave()
    for (const path of selection.notAmong(this.#found)) {
      throw new EnvError('not-found', `${shown(path)} is neither in the snapshot nor in the mount ${mount.name}`)
    }
    return {
      removals: this.#removals,
      puts: this.#puts.filter((put) => put.wanted),
      changes: this.#changes,
      drift: this.#drift,
      seen: this.#settled ? this.#digest.digest('hex') : undefined,
    }
  }

  /** All folders above something that is left alone must stay. */
  #keep(path: string): void {
    for (let folder = path; folder !== ''; ) {
      folder = parentPath(folder)
      if (this.#keeping.has(folder)) return
      this.#keeping.add(folder)
    }
  }

  async #take(row: LinedUp): Promise<void> {
    const { path, target, live, safety } = row
    const { mount, selection, isSettled } = this.#input
    if ((target || live) && selection.isChosen(path)) this.#found.add(path)
    const content = await this.#contentOf(row)
    const drift = driftOf(mount, path, { target, live, safety, content })
    if (drift) this.#drift.push(drift)
    if (live) {
      this.#digest.update(seenLine(live))
      this.#settled &&= isSettled(live.stat.ctimeNs)
      this.#device ??= live.stat.dev
    }
    const place = selection.placeOf(path)
    if (place === 'out') return
    if (live && live.stat.nlink > 1n && place === 'in' && !this.#chosenNames.has(live.stat.ino)) {
      this.#chosenNames.set(live.stat.ino, path)
    }
    if (target && live) this.#both(target, live, content, place === 'in')
    else if (target) this.#put(target, undefined, place === 'in')
    else if (live && place === 'in') this.#remove(live)
    else if (live?.type === 'directory') this.#enter(live, 'merge', undefined)
  }

  /** Read only where it decides something. */
  async #contentOf({ target, live, safety }: LinedUp): Promise<LiveContent | undefined> {
    if (live?.type !== 'file') return undefined
    const size = Number(live.stat.size)
    const decides = target?.content?.bytes === size || safety?.content?.bytes === size
    return decides ? this.#input.contents.of(live) : undefined
  }

  #both(target: TreeEntry, live: LiveEntry, content: LiveContent | undefined, isChosen: boolean): void {
    if (target.type === 'directory' && live.type === 'directory') {
      this.#enter(live, 'merge', isChosen ? target : undefined)
    } else if (!isChosen) {
      throw new EnvError('refused', `${shown(live.path)} is in the way: the snapshot has a folder there`, {
        hint: live.path === '' ? 'restore the whole mount' : `restore ${shown(live.path)} itself`,
      })
    } else if (live.type === 'directory') this.#enter(live, 'replace', target)
    else this.#exchange(target, live, content)
  }

  /** Neither is a folder, or only the target is. */
  #exchange(target: TreeEntry, live: LiveEntry, content: LiveContent | undefined): void {
    const isSame = this.#isSameData(target, live, content)
    const old = metadataOf(live.stat)
    const differs = this.#differs(target, old, live.type)
    const isLinked = isLinkedFile(live) || this.#input.target.isLinked(target)
    if (isSame && !differs.any && !(isLinked && this.#linked.has(target, live))) return
    const mayChange = this.#input.user === undefined || this.#input.user === old.uid
    const isCheap = !differs.time || Number(live.stat.size) > rewriteBytes
    if (isSame && !isLinked && live.type === 'file' && mayChange && isCheap) this.#change(live, target)
    else this.#put(target, live, true)
  }

  #isSameData(target: TreeEntry, live: LiveEntry, content: LiveContent | undefined): boolean {
    if (target.type !== live.type) return false
    if (live.type === 'symlink') return target.target === linkTarget(this.#input.mount, live.path)
    if (target.link !== this.#chosenLink(live)) return false
    if (target.link !== undefined) return true
    return content?.sha256 === target.content?.sha256 && content?.sparse === (target.sparse ?? false)
  }

  /** Of a file's names only those count that the restore is about. */
  #chosenLink({ path, stat }: LiveEntry): string | undefined {
    if (stat.nlink === 1n) return undefined
    const first = this.#chosenNames.get(stat.ino)
    return first === path ? undefined : first
  }

  #differs(
    target: Metadata,
    live: Metadata,
    type: TreeEntry['type'],
  ): { readonly any: boolean; readonly time: boolean } {
    const owner = this.#input.user === undefined && (target.uid !== live.uid || target.gid !== live.gid)
    const mode = type !== 'symlink' && target.mode !== live.mode
    const time = target.mtimeNs !== live.mtimeNs
    return { any: owner || mode || time, time }
  }

  #put(target: TreeEntry, live: LiveEntry | undefined, isChosen: boolean): void {
    const { path } = target
    const open = this.#puts.at(-1)
    if (open && isWithin(open.path, path) && open.path !== path) {
      open.entries.push(target)
      open.wanted ||= isChosen
      open.linked ||= this.#input.target.isLinked(target)
      if (this.#input.target.isLinked(target)) this.#linked.add(target, undefined)
      return
    }
    const parent = this.#frames.at(-1)
    if (path !== '' && (parent?.live.path !== parentPath(path) || parent.fate !== 'merge')) {
      throw new EnvError(
        'refused',
        `${shown(path)} has no folder to lie in: ${shown(parentPath(path))} is not the mount's own`,
        {
          hint: 'exclude it from the mount, or move what is in its way',
        },
      )
    }
    this.#touch(path, live)
    const linked = this.#input.target.isLinked(target)
    this.#linked.add(linked ? target : undefined, isLinkedFile(live) ? live : undefined)
    const old = live ? { old: metadataOf(live.stat) } : {}
    this.#puts.push({ path, entries: [target], ...old, linked, wanted: isChosen })
  }

  #remove(live: LiveEntry): void {
    if (isLinkedFile(live)) this.#linked.add(undefined, live)
    if (live.type === 'directory') this.#enter(live, 'gone', undefined)
    else this.#removed({ path: live.path, old: metadataOf(live.stat) }, live)
  }

  /** Inside a folder that goes, it is for the folder to decide. */
  #removed(removal: PlannedRemoval, live: LiveEntry): void {
    const parent = this.#frames.at(-1)
    if (parent && parent.fate !== 'merge') parent.removals.push(removal)
    else {
      this.#touch(removal.path, live)
      this.#removals.push(removal)
    }
  }

  #enter(live: LiveEntry, fate: Frame['fate'], target: TreeEntry | undefined): void {
    if (fate !== 'merge') this.#refuseMounted(live)
    this.#frames.push({ live, fate, target, removals: [], touched: false })
  }

  #leave(): void {
    const frame = this.#frames.pop()!
    const { live, fate, target, removals } = frame
    const mustStay = this.#keeping.has(live.path)
    if (fate === 'merge') this.#leaveMerged(frame)
    else if (fate === 'replace') {
      if (mustStay) {
        throw new EnvError(
          'refused',
          `${shown(live.path)} is no folder in the snapshot, but holds files that are not the mount's now`,
          {
            hint: 'move them elsewhere, or exclude that path from the mount',
          },
        )
      }
      this.#put(target!, live, true)
    } else if (!mustStay) this.#removed({ path: live.path, old: metadataOf(live.stat) }, live)
    else if (removals.length > 0) {
      this.#refuseMounted(live)
      this.#changes.push(this.#kept(live))
      this.#removals.push(...removals)
    }
  }

  #leaveMerged({ live, target, touched }: Frame): void {
    const old = metadataOf(live.stat)
    if (target && this.#differs(target, old, 'directory').any) this.#change(live, target)
    else if (touched) this.#changes.push(this.#kept(live))
  }

  /** A folder that stays as it is, whatever happens in it. */
  #kept(live: LiveEntry): PlannedChange {
    const old = metadataOf(live.stat)
    return { path: live.path, type: live.type, old, new: old }
  }

  #change(live: LiveEntry, { mode, uid, gid, mtimeNs }: TreeEntry): void {
    const old = metadataOf(live.stat)
    const owner = this.#input.user === undefined ? { uid, gid } : { uid: old.uid, gid: old.gid }
    this.#changes.push({ path: live.path, type: live.type, old, new: { mode, ...owner, mtimeNs } })
  }

  #touch(path: string, live: LiveEntry | undefined): void {
    const parent = this.#frames.at(-1)
    if (parent) {
      parent.touched = true
      this.#refuseMounted(parent.live)
    }
    if (live && path !== '') this.#refuseMounted(live)
  }

  /** What is staged comes by rename, which does not cross file systems; and what goes must not take along what is mounted in it. */
  #refuseMounted({ path, stat }: LiveEntry): void {
    const isMounted = stat.dev !== this.#device || this.#mountPoints.some((point) => isWithin(point, path))
    if (!isMounted) return
    throw new EnvError(
      'refused',
      `${shown(path)} would change or go, but is another file system that is mounted inside the mount`,
      {
        hint: 'configure it as a mount of its own, and exclude it from this one',
      },
    )
  }
}

function isLinkedFile(live: LiveEntry | undefined): boolean {
  return live?.type === 'file' && live.stat.nlink > 1n
}

function seenLine({ path, type, stat }: LiveEntry): string {
  return `${JSON.stringify(path)} ${type} ${identityOf(stat)}\n`
}

/** The digest that {@link Plan.seen} would be now. */
export async function look(mount: Mount): Promise<string> {
  const pauses = new Pauses(mount.signal)
  const digest = createHash('sha256')
  for (const entry of walk(mount)) {
    await pauses.due()
    digest.update(seenLine(entry))
  }
  return digest.digest('hex')
}
