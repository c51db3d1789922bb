import { lstatSync, mkdirSync, readFileSync, renameSync, rmdirSync, unlinkSync } from 'node:fs'
import path from 'node:path'
import type { ContentSink, ContentSource } from '../../domain/content.ts'
import { EnvError, systemCode } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged, SwapState } from '../../domain/swap.ts'
import { displayPath, isWithin, parentPath } from '../../domain/tree.ts'
import { fileError, replaceFile, syncDirectory } from '../../system/durable-file.ts'
import type { ServiceSwap } from '../service-driver.ts'
import {
  type Area,
  aside,
  begunMarker,
  exists,
  freeAside,
  inArea,
  isBegun,
  keepOlderAsides,
  lastAside,
  nearestFolder,
  removeArea,
  setOffPlace,
} from './area.ts'
import { recordBefore } from './before.ts'
import { applyMetadata, backMetadata, forwardMetadata } from './metadata.ts'
import { at, folderOf, type Mount } from './mount.ts'
import { mountPointsBelow } from './mount-points.ts'
import { type Operation, type Put, type Removal, readOperations } from './operations.ts'
import { moveToFreeName, openFolder, syncFolder } from './place.ts'
import { look } from './plan.ts'
import { compareSwapped } from './read-back.ts'
import { type Reading, readingAhead, type StagedFiles, stageRevision } from './staging.ts'
import { lstat } from './walk.ts'

const doneMarker = 'done'
/** Folders above the mount that were made for it. */
const madeFile = 'made'

/**
 * The swap of a mount, entry by entry: docs/decisions/0002-mounts-are-swapped-entry-by-entry.md. Where it stands is seen in the staging
 * area: `begun` is there from before the first change to after the last one was taken back, `done` from after the last change; what is
 * still in `new/` has not come, what is in `old/` has gone.
 */
export class FilesSwap implements ServiceSwap {
  readonly #mount: Mount
  readonly #source: ContentSource | undefined
  #staged: StagedFiles
  /** What was read ahead of the hold. */
  #ahead: Reading | undefined
  /** Somebody writes all the time: a look would only tell so. */
  #isBusy = false

  /** `source`: where contents come from that turn out to be needed after staging. */
  constructor(mount: Mount, staged: Staged, source: ContentSource | undefined) {
    this.#mount = mount
    this.#source = source
    this.#staged = staged as unknown as StagedFiles
  }

  get #area(): Area {
    return { directory: this.#staged.area }
  }

  async inspect(): Promise<SwapState> {
    if (!isBegun(this.#area)) return 'before'
    return exists(this.#area, doneMarker) ? 'after' : 'between'
  }

  /**
   * Where something was written since staging, all is read and staged again here, so that inside the hold only what is written after that is
   * left to be found.
   */
  async prepare(): Promise<void> {
    if (isBegun(this.#area) || (await this.#isAsSeen())) return
    this.#ahead ??= await readingAhead(this.#mount, this.#source ?? noSource)
    await this.#stageAgain()
    this.#isBusy = !(await this.#isAsSeen())
  }

  async #isAsSeen(): Promise<boolean> {
    return this.#staged.seen !== null && (await look(this.#mount)) === this.#staged.seen
  }

  /** Writers of files cannot be held. What they do until the swap is found by `lastCapture`, after that by what is set aside. */
  async hold(): Promise<void> {}

  async release(): Promise<void> {}

  async lastCapture(): Promise<Staged> {
    if (isBegun(this.#area) || this.#isBusy || !(await this.#isAsSeen())) await this.#stageAgain()
    return this.#staged as unknown as Staged
  }

  async #stageAgain(): Promise<void> {
    const source = this.#source ?? noSource
    const ahead = this.#ahead ? { ahead: this.#ahead } : {}
    const options = { source, signal: this.#mount.signal, progress: () => {}, ...ahead }
    const staged = await stageRevision(this.#mount, this.#staged, await this.#operations(), options)
    this.#staged = staged as unknown as StagedFiles
  }

  async forward(): Promise<void> {
    if ((await this.inspect()) === 'after') return
    const operations = await this.#operations()
    this.#refuseMounted(operations)
    try {
      await this.#mark(begunMarker)
      await this.#makeFoldersAbove(operations)
      // A name that differs from another by case alone may be the same name: what goes, goes first.
      for (const operation of operations) if (operation.kind === 'removal') this.#remove(operation)
      for (const operation of operations) if (operation.kind === 'put') this.#put(operation)
      await applyMetadata(this.#mount, forwardMetadata(operations))
      this.#mount.trace('files: metadata set')
      await this.#syncFolders(operations)
      await this.#mark(doneMarker)
    } catch (error) {
      throw fileError(error, displayPath(this.#mount.root), 'swap the files of this mount')
    }
  }

  async back(): Promise<void> {
    if ((await this.inspect()) === 'before') return
    const operations = await this.#operations()
    try {
      await this.#unmark(doneMarker)
      for (const operation of operations.toReversed()) if (operation.kind === 'put') this.#takeBack(operation)
      for (const operation of operations.toReversed()) {
        if (operation.kind === 'removal') this.#giveBack(operation)
      }
      await applyMetadata(this.#mount, backMetadata(operations))
      this.#mount.trace('files: metadata set back')
      await this.#removeFoldersAbove()
      await this.#syncFolders(operations)
      await this.#unmark(begunMarker)
    } catch (error) {
      throw fileError(error, displayPath(this.#mount.root), 'put the files of this mount back')
    }
  }

  async readBack(): Promise<void> {
    const begunNs = lstatSync(inArea(this.#area, begunMarker), { bigint: true }).ctimeNs
    await compareSwapped(this.#mount, this.#area, await this.#operations(), begunNs)
  }

  async before(sink: ContentSink, safety: ServiceRecord): Promise<ServiceRecord> {
    const drift = path.join(this.#staged.area, `drift-${this.#staged.revision}`)
    const source = this.#source ?? noSource
    const operations = await this.#operations()
    return recordBefore({ mount: this.#mount, area: this.#area, operations, drift, source, sink, safety })
  }

  async discard(): Promise<void> {
    await removeArea(this.#mount, this.#staged.id)
    this.#mount.trace('files: staging area removed')
  }

  #operations(): Promise<Operation[]> {
    return readOperations(path.join(this.#staged.area, `operations-${this.#staged.revision}`))
  }

  async #mark(marker: string): Promise<void> {
    if (exists(this.#area, marker)) return
    await replaceFile(path.join(this.#staged.area, marker), [])
    this.#mount.trace(`files: ${marker}`)
  }

  async #unmark(marker: string): Promise<void> {
    if (!exists(this.#area, marker)) return
    unlinkSync(inArea(this.#area, marker))
    await syncDirectory(this.#staged.area)
    this.#mount.trace(`files: no longer ${marker}`)
  }

  /** What was mounted since the last look must not go with what lies around it. */
  #refuseMounted(operations: readonly Operation[]): void {
    for (const point of mountPointsBelow(this.#mount.root)) {
      const inWay = operations.find(
        ({ kind, path }) => kind !== 'change' && (isWithin(path, point) || isWithin(point, path)),
      )
      if (inWay === undefined) continue
      throw new EnvError(
        'busy',
        `${displayPath(point)} in the mount ${this.#mount.name}: another file system was mounted there`,
        {
          hint: 'unmount it, then: git env recover',
        },
      )
    }
  }

  #remove({ number, path }: Removal): void {
    if (exists(this.#area, aside(number)) || !lstat(this.#mount, path)) return
    this.#setAside(number, path)
    this.#mount.trace(`files: removed ${number}`)
  }

  #put({ number, path, place }: Put): void {
    if (!exists(this.#area, place)) return
    openFolder(at(this.#mount, parentPath(path)))
    do {
      if (lstat(this.#mount, path) && !this.#isPlaced(path, place)) this.#setAside(number, path)
    } while (!moveToFreeName(inArea(this.#area, place), at(this.#mount, path)))
    this.#mount.trace(`files: put ${number}`)
  }

  /** A process that was killed in the middle of giving it its name left it with both. */
  #isPlaced(path: string, place: string): boolean {
    return lstat(this.#mount, path)?.ino === lstatSync(inArea(this.#area, place), { bigint: true }).ino
  }

  /** Out of the way, by rename: who has it open writes on into what is set aside, and is captured from there. */
  #setAside(number: number, path: string): void {
    openFolder(at(this.#mount, parentPath(path)))
    openFolder(at(this.#mount, path))
    const to = freeAside(this.#area, number)
    renameSync(at(this.#mount, path), inArea(this.#area, to))
    this.#mount.trace(`files: set aside ${number}`)
  }

  #takeBack(operation: Put): void {
    const { number, path, place } = operation
    if (!exists(this.#area, place) && lstat(this.#mount, path)) {
      openFolder(at(this.#mount, parentPath(path)))
      openFolder(at(this.#mount, path))
      renameSync(at(this.#mount, path), inArea(this.#area, place))
      this.#mount.trace(`files: taken back ${number}`)
    }
    this.#giveBack(operation)
  }

  /** What was set aside last is what a writer saw last. */
  #giveBack({ number, path }: Put | Removal): void {
    const from = lastAside(this.#area, number)
    if (from === undefined) return
    keepOlderAsides(this.#area, number, from)
    openFolder(at(this.#mount, parentPath(path)))
    while (!moveToFreeName(inArea(this.#area, from), at(this.#mount, path))) {
      openFolder(at(this.#mount, path))
      renameSync(at(this.#mount, path), setOffPlace(this.#area, number))
    }
    this.#mount.trace(`files: given back ${number}`)
  }

  /** Only where the mount itself is put: then folders above it may be gone too. */
  async #makeFoldersAbove(operations: readonly Operation[]): Promise<void> {
    if (!operations.some((each) => each.kind === 'put' && each.path === '')) return
    const above = displayPath(parentPath(this.#mount.root))
    const nearest = nearestFolder(parentPath(this.#mount.root))
    if (nearest === above) return
    await replaceFile(path.join(this.#staged.area, madeFile), [Buffer.from(nearest)])
    mkdirSync(above, { recursive: true })
  }

  async #removeFoldersAbove(): Promise<void> {
    if (!exists(this.#area, madeFile)) return
    const nearest = readFileSync(path.join(this.#staged.area, madeFile), 'utf8')
    for (let folder = displayPath(parentPath(this.#mount.root)); folder.length > nearest.length; ) {
      try {
        rmdirSync(folder)
      } catch (error) {
        if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(systemCode(error) ?? '')) throw error
      }
      folder = path.dirname(folder)
    }
  }

  async #syncFolders(operations: readonly Operation[]): Promise<void> {
    const folders = new Set<string>()
    for (const { kind, path } of operations) {
      if (kind === 'put' || kind === 'removal') folders.add(folderOf(this.#mount, path).toString('latin1'))
    }
    for (const folder of folders) syncFolder(Buffer.from(folder, 'latin1'))
    for (const name of ['new', 'old']) await syncDirectory(path.join(this.#staged.area, name))
  }
}

const noSource: ContentSource = {
  // biome-ignore lint/correctness/useYield: it only throws
  async *read() {
    throw new EnvError('bug', 'the swap of a mount was opened without a way to read the store')
  },
}
