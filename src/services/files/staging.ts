import { accessSync, constants, lstatSync, readdirSync } from 'node:fs'
import path from 'node:path'
import type { Json } from '../../domain/canonical-json.ts'
import type { ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import { plural } from '../../domain/format-text.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged } from '../../domain/swap.ts'
import { displayPath, isWithin, parentPath } from '../../domain/tree.ts'
import type { StageOptions } from '../service-driver.ts'
import { type Area, aside, exists, isBegun, makeArea, nearestFolder, requireRoom } from './area.ts'
import { ContentCache } from './content-cache.ts'
import { FileClock, isClearlyBefore } from './identity.ts'
import { LiveContents } from './live-contents.ts'
import { folderOf, type Mount, shown } from './mount.ts'
import { isMountPoint } from './mount-points.ts'
import { type Change, type Operation, type Part, type Put, writeLines } from './operations.ts'
import { makePlan, type Plan, type PlannedPut } from './plan.ts'
import { storedTree } from './record.ts'
import { ordinaryUser } from './rights.ts'
import { Selection } from './selection.ts'
import { type ReadTree, readStored, rememberingTrees, type StoredTree, TargetTree } from './target-tree.ts'
import { type Placed, type WriteOptions, writeEntries } from './tree-writer.ts'
import { metadataOf, typeOf } from './walk.ts'

/** What the journal keeps of a staged mount. */
export type StagedFiles = {
  readonly version: 1
  readonly id: string
  /** The mount's root, a byte string: what a symlink there leads to may change before a swap is finished. */
  readonly root: string
  /** Folder of what is staged and set aside. */
  readonly area: string
  /** Counts up with every plan; the files of operations and of drift carry it. */
  readonly revision: number
  /** Number of the next operation. */
  readonly next: number
  readonly target: StoredTree
  readonly safety: StoredTree
  readonly only: readonly string[] | null
  /** Digest of the live tree when it was planned, null when it could not be told from a later one. */
  readonly seen: string | null
  readonly puts: number
  readonly removals: number
  readonly changes: number
  readonly bytes: number
  readonly foreignOwners: number
  readonly inexactTimes: number
}

/** Where a staged mount lies. */
export function stagedRoot(staged: Staged): string {
  return (staged as unknown as StagedFiles).root
}

export async function stageFiles(
  mount: Mount,
  target: ServiceRecord,
  live: ServiceRecord,
  options: StageOptions & { readonly beside?: boolean },
): Promise<Staged> {
  const area = await makeArea(mount, options.id, isBeside(mount, target) || options.beside === true)
  mount.trace('files: staging area made')
  const start = {
    version: 1,
    id: options.id,
    root: mount.root,
    area: area.directory,
    revision: 0,
    next: 1,
    target: storedTree(target),
    safety: storedTree(live),
    only: options.only ?? null,
    foreignOwners: 0,
    inexactTimes: 0,
  } as const
  const { source, progress } = options
  return stageRevision(mount, { ...start, seen: null, puts: 0, removals: 0, changes: 0, bytes: 0 }, [], {
    source,
    progress,
    signal: mount.signal,
  })
}

/** Whether the mount's own folder goes, so that nothing can be staged in it; an ordinary user may not be able to do better. */
function isBeside(mount: Mount, { presence }: ServiceRecord): boolean {
  if (presence === 'present') return false
  const isFixed = isMountPoint(mount.root)
  if (presence === 'absent') return !isFixed && mayWriteIn(nearestFolder(parentPath(mount.root)))
  if (!isFixed) return true
  throw new EnvError('refused', `${displayPath(mount.root)} is a mount point, and is no folder in the snapshot`, {
    hint: 'unmount it',
  })
}

/** Whether this user may make and move entries of the folder. */
export function mayWriteIn(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

function warningsOf({ foreignOwners, inexactTimes }: { foreignOwners: number; inexactTimes: number }): string[] {
  const warnings: string[] = []
  if (foreignOwners > 0)
    warnings.push(`${plural(foreignOwners, 'entry', 'entries')} cannot be given the owner they had: only root can`)
  if (inexactTimes > 0)
    warnings.push(`${plural(inexactTimes, 'entry', 'entries')} cannot have their exact times on this file system`)
  return warnings
}

/**
 * Plans again from what is there now, and stages what is not staged yet. `before` are the operations of the revision before: those that the
 * swap has begun stay; what was staged for the others is used where it fits.
 */
export async function stageRevision(
  mount: Mount,
  staged: StagedFiles,
  before: readonly Operation[],
  options: WriteOptions & { readonly ahead?: Reading },
): Promise<Staged> {
  const area: Area = { directory: staged.area }
  const plan = await planAgain(mount, staged, options.ahead ?? (await newReading(mount, options.source)))
  refuseForbidden(mount, plan)
  const operations = begunOperations(area, before)
  const ready = stagedBefore(area, before)
  let next = Math.max(staged.next, firstFreeNumber(area))
  const fresh: NumberedPut[] = []
  for (const { path, old } of plan.removals) operations.push({ kind: 'removal', number: next++, path, old })
  for (const put of plan.puts) {
    const [top, ...parts] = ready.get(put.path) ?? []
    const fits = top && !put.linked && parts.length === put.entries.length - 1
    if (fits) operations.push({ ...top, number: next++, ...oldOf(put) }, ...parts)
    else fresh.push({ put, number: next++ })
  }
  const written = await writePuts(area, fresh, options)
  operations.push(...written.operations, ...changesOf(plan, isBegun(area) ? before : []))
  const revision = staged.revision + 1
  await writeLines(path.join(area.directory, `operations-${revision}`), operations)
  await writeLines(path.join(area.directory, `drift-${revision}`), plan.drift)
  mount.trace(`files: revision ${revision} staged`)
  const count = (kind: Operation['kind']) => operations.filter((each) => each.kind === kind).length
  return {
    ...staged,
    revision,
    next,
    seen: plan.seen ?? null,
    puts: count('put'),
    removals: count('removal'),
    changes: count('change'),
    bytes: staged.bytes + written.bytes,
    foreignOwners: staged.foreignOwners + written.foreignOwners,
    inexactTimes: staged.inexactTimes + written.inexactTimes,
    warnings: warningsOf(written),
  } as unknown as { [key: string]: Json }
}

/** What plans are made of, beside the live tree. */
export type Reading = { readonly read: ReadTree; readonly contents: LiveContents; readonly clock: FileClock }

/** Some 30 MB for each of the live, the stored and the target tree; what is larger is read again every time. */
const rememberedEntries = 50_000

/** For several plans in a row: what one of them has read, the next one need not. */
export async function readingAhead(mount: Mount, source: ContentSource): Promise<Reading> {
  return { ...(await newReading(mount, source, rememberedEntries)), read: rememberingTrees(source, rememberedEntries) }
}

async function newReading(mount: Mount, source: ContentSource, remembered = 0): Promise<Reading> {
  const clock = new FileClock(mount.privateDirectory)
  const cache = await ContentCache.load(mount.privateDirectory)
  const contents = new LiveContents(mount, cache, clock, remembered)
  return { read: (tree) => readStored(tree, source), contents, clock }
}

/** A revision that a crash kept from the journal has left what it staged; its numbers are not given again. */
function firstFreeNumber(area: Area): number {
  let last = 0
  for (const name of readdirSync(path.join(area.directory, 'new'))) last = Math.max(last, Number(name) || 0)
  return last + 1
}

async function planAgain(mount: Mount, staged: StagedFiles, { read, contents, clock }: Reading): Promise<Plan> {
  const selection = new Selection(staged.only ?? undefined)
  // Outside the hold there is time to let what was written just now become distinguishable from what comes next.
  if (staged.revision === 0) await clock.settle(clock.nowNs())
  const startNs = clock.nowNs()
  return makePlan({
    mount,
    target: await TargetTree.open(staged.target, read, mount.scope, selection),
    safety: () => read(staged.safety),
    contents,
    selection,
    isSettled: (ctimeNs) => isClearlyBefore(ctimeNs, startNs),
    user: ordinaryUser(),
  })
}

/** What an ordinary user could not do halfway through is refused before anything is done. */
function refuseForbidden(mount: Mount, plan: Plan): void {
  const user = ordinaryUser()
  if (user === undefined) return
  const folders = new Set<string>()
  for (const { path } of [...plan.removals, ...plan.puts]) folders.add(folderOf(mount, path).toString('latin1'))
  for (const root of folders) {
    const folder = nearestFolder(root)
    const stat = lstatSync(folder)
    // The owner of a folder of the mount may open it; the one around the mount is not the mount's.
    if (stat.uid === user && isWithin(mount.root, root)) continue
    try {
      accessSync(folder, constants.W_OK | constants.X_OK)
    } catch (cause) {
      throw new EnvError(
        'refused',
        `${shownFolder(mount, root, folder)} belongs to user ${stat.uid} and cannot be written to`,
        {
          cause,
          hint: 'give this user the right to write there, or restore as a user who has it',
        },
      )
    }
  }
}

function shownFolder(mount: Mount, root: string, folder: string): string {
  if (!isWithin(mount.root, root)) return folder
  return `${shown(root.slice(mount.root.length + 1))} in the mount ${mount.name}`
}

/**
 * Operations that left a trace: they stay, for the way back. One that has set aside what it found, but has not put anything in its place,
 * stays as a removal; the plan puts there what belongs there.
 */
function begunOperations(area: Area, before: readonly Operation[]): Operation[] {
  const operations: Operation[] = []
  let isPlaced = false
  for (const operation of before) {
    if (operation.kind === 'change') continue
    if (operation.kind === 'part') {
      if (isPlaced) operations.push(operation)
      continue
    }
    isPlaced = operation.kind === 'put' && !exists(area, operation.place)
    const { number, path, old } = operation
    if (isPlaced) operations.push(operation)
    else if (exists(area, aside(number))) operations.push({ kind: 'removal', number, path, ...(old ? { old } : {}) })
  }
  return operations
}

/** What an earlier revision staged and the swap did not use yet: each put with its parts, by path. */
function stagedBefore(area: Area, before: readonly Operation[]): Map<string, [Put, ...Part[]]> {
  const ready = new Map<string, [Put, ...Part[]]>()
  let current: [Put, ...Part[]] | undefined
  for (const operation of before) {
    if (operation.kind === 'put') {
      current = exists(area, operation.place) ? [operation] : undefined
      if (current) ready.set(operation.path, current)
    } else if (operation.kind === 'part') current?.push(operation)
  }
  return ready
}

function oldOf({ old }: PlannedPut): Pick<Put, 'old'> {
  return old ? { old } : {}
}

/** What a path was before the first revision that changes it is what `back` returns to. */
function changesOf(plan: Plan, before: readonly Operation[]): Change[] {
  const earlier = new Map<string, Change>()
  for (const each of before) if (each.kind === 'change') earlier.set(each.path, each)
  for (const each of plan.changes) {
    const known = earlier.get(each.path)
    const isKept = known !== undefined && each.old === each.new
    earlier.set(each.path, {
      kind: 'change',
      ...each,
      ...(known ? { old: known.old } : {}),
      ...(isKept ? { new: known.new } : {}),
    })
  }
  return [...earlier.values()]
}

type NumberedPut = { readonly put: PlannedPut; readonly number: number }

async function writePuts(area: Area, puts: readonly NumberedPut[], options: WriteOptions) {
  const items = puts.flatMap(({ put, number }) => placed(put, number))
  const places = new Map(items.map(({ entry, place }) => [entry.path, place]))
  const complete = items.map((item) => {
    if (item.entry.link === undefined) return item
    const linkPlace = places.get(item.entry.link)
    // All names of a file are put anew together, the first of them first.
    if (linkPlace === undefined)
      throw new EnvError('bug', `${shown(item.entry.path)} is staged without ${shown(item.entry.link)}`)
    return { ...item, linkPlace }
  })
  const bytes = items.reduce((sum, { entry }) => sum + (entry.content?.bytes ?? 0), 0)
  requireRoom(area, bytes, items.length)
  const base = Buffer.from(area.directory)
  const { stats, foreignOwners, inexactTimes } = await writeEntries(base, complete, options)
  const stamps = stats.map((stat) => ({
    type: typeOf(stat)!,
    inode: String(stat.ino),
    bytes: Number(stat.size),
    metadata: metadataOf(stat),
  }))
  const operations: Operation[] = []
  let i = 0
  for (const { put, number } of puts) {
    operations.push({ kind: 'put', number, path: put.path, place: `new/${number}`, stamp: stamps[i++]!, ...oldOf(put) })
    for (const part of put.entries.slice(1)) operations.push({ kind: 'part', path: part.path, stamp: stamps[i++]! })
  }
  return { operations, bytes, foreignOwners, inexactTimes }
}

function placed({ path: top, entries }: PlannedPut, number: number): Placed[] {
  const start = top === '' ? 0 : top.length + 1
  return entries.map((entry) => ({
    place: entry.path === top ? `new/${number}` : `new/${number}/${entry.path.slice(start)}`,
    entry,
  }))
}
