import path from 'node:path'
import type { ContentSink } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Staged, SwapState } from '../../domain/swap.ts'
import type { ServiceContext, ServiceSwap } from '../service-driver.ts'
import { nameBlockers, openersOf } from './blockers.ts'
import { fileFacts, find } from './capture.ts'
import type { LiveSession } from './live-session.ts'
import { type Look, type Piece, pieceAt, piecesAt, type Suffix } from './pieces.ts'
import { namesIn, remove, requireRoom } from './place.ts'
import { findByIdentity, makeFolder, moveTo, pieceName } from './raw-files.ts'
import { recordCopy } from './record-copy.ts'
import { absentRecord, damagedRecord, presentRecord } from './records.ts'
import { asStaged, type Replaced, type StagedRename } from './staged.ts'

/** The staged files wait here, under `file`, `file-wal`, …; what is set aside goes into `aside-<n>`. */
export const targetFolder = 'target'
/** Companions before the database: SQLite finds it complete, or not at all; and never a new one beside an old log. */
const order: readonly Suffix[] = ['-journal', '-wal', '-shm', '']

/**
 * Swaps by names: what is there is set aside, what is staged takes its place. For databases that SQLite cannot rewrite: absent, damaged,
 * or to become so. Which file is which is told by identity (device and inode), so any state that a crash leaves is understood.
 */
export class RenameSwap implements ServiceSwap {
  #staged: StagedRename
  readonly #context: ServiceContext
  #session: LiveSession | undefined

  constructor(staged: StagedRename, context: ServiceContext) {
    this.#staged = staged
    this.#context = context
  }

  async inspect(): Promise<SwapState> {
    const kept = await findByIdentity(this.#staged.directory)
    const folderOf = (identity: string) => {
      const file = kept.get(identity)
      return file && path.basename(path.dirname(file))
    }
    const old = this.#staged.replaced?.pieces ?? []
    const aside = old.filter((piece) => folderOf(piece.identity)?.startsWith('aside-'))
    const moved = this.#staged.pieces.filter((piece) => folderOf(piece.identity) !== targetFolder)
    if (old.length + this.#staged.pieces.length === 0) return (await this.#isMarked()) ? 'after' : 'before'
    if (aside.length + moved.length === 0) return 'before'
    return aside.length === old.length && moved.length === this.#staged.pieces.length ? 'after' : 'between'
  }

  async hold(limitMs: number): Promise<void> {
    if (this.#session) return
    const { look, session } = await find(this.#staged.file, this.#context.signal)
    if (look.state === 'empty') await this.#refuseOpeners([])
    if (!session) return
    try {
      await session.hold(limitMs)
      await this.#refuseOpeners([session.worker.pid])
      this.#session = session
    } finally {
      if (this.#session !== session) await session.worker.close()
    }
  }

  /** Who has the file open keeps the file itself, whatever name it gets, and would write where nobody reads. */
  async #refuseOpeners(ours: readonly number[]): Promise<void> {
    const openers = await openersOf(this.#staged.file, new Set([process.pid, ...ours]))
    if (!openers?.length) return
    throw new EnvError(
      'busy',
      `${this.#staged.file} is open in ${nameBlockers(openers)}, and its file is to be replaced`,
      {
        hint: 'stop that process and run the command again',
        details: { blockers: openers },
      },
    )
  }

  async lastCapture(): Promise<Staged> {
    const { file, directory, pieces, replaced } = this.#staged
    const number = await this.#nextNumber()
    await makeFolder(path.join(directory, `aside-${number}`))
    const ours = new Set(pieces.map((piece) => piece.identity))
    const there = piecesAt(file).filter((piece) => !ours.has(piece.identity))
    const found = there.map(({ suffix, identity }) => ({ suffix, identity }))
    if (replaced && (await this.inspect()) === 'between') {
      const known = new Set(replaced.pieces.map((piece) => piece.identity))
      const more = found.filter((piece) => !known.has(piece.identity))
      this.#staged = { ...this.#staged, replaced: { ...replaced, pieces: [...replaced.pieces, ...more] } }
    } else {
      this.#staged = { ...this.#staged, replaced: { ...(await this.#captureLive(number)), pieces: found } }
    }
    this.#context.trace(`${this.#context.name}: last capture ${number}`)
    return asStaged(this.#staged)
  }

  /** Of what SQLite can read, a copy as well: the raw files together with a log say the same, but only to SQLite. */
  async #captureLive(number: number): Promise<Omit<Replaced, 'pieces'>> {
    if (this.#session) {
      const problem = await this.#copyLive(this.#session, number)
      return { presence: problem === undefined ? 'present' : 'damaged', reason: problem ?? '', number }
    }
    const look = await this.#look()
    if (look.state === 'plain') {
      throw new EnvError('busy', `${this.#staged.file} was made while it was about to be replaced`, {
        hint: 'run the command again',
      })
    }
    const presence = look.state === 'empty' ? 'present' : look.state
    return { presence, reason: look.reason ?? '', number }
  }

  /** Gives what SQLite finds wrong with the copy. */
  async #copyLive({ worker, opened }: LiveSession, number: number): Promise<string | undefined> {
    const to = this.#copy(number)
    await requireRoom(this.#staged.directory, opened.bytes)
    await worker.call('point')
    await worker.call('copy', { to })
    return (await worker.call('examine', { path: to })).problem
  }

  async #look(): Promise<Look> {
    const { look, session } = await find(this.#staged.file, this.#context.signal)
    await session?.worker.kill()
    return look
  }

  async forward(): Promise<void> {
    if ((await this.inspect()) === 'after') return
    if (!this.#staged.replaced) await this.lastCapture()
    await makeFolder(path.dirname(this.#staged.file))
    const keep = new Set(this.#staged.pieces.map((piece) => piece.identity))
    await this.#setAside(keep)
    await this.#putIn(this.#staged.pieces)
    await this.#mark()
  }

  async back(): Promise<void> {
    if ((await this.inspect()) === 'before') return
    const replaced = this.#staged.replaced
    if (!replaced) throw new EnvError('bug', `${this.#staged.file}: there is nothing to go back to`)
    await this.#keepReplacedCopy()
    await this.#returnTargets()
    await this.#setAside(new Set(replaced.pieces.map((piece) => piece.identity)))
    await this.#putIn(replaced.pieces)
    await remove(this.#marker)
  }

  /** What was written since the swap, where SQLite can read it: its files are parted when the names are given back. */
  async #keepReplacedCopy(): Promise<void> {
    if (!this.#session) return
    const number = await this.#nextNumber()
    await makeFolder(path.join(this.#staged.directory, `aside-${number}`))
    await this.#copyLive(this.#session, number)
    this.#context.trace(`${this.#context.name}: what is taken back is kept`)
  }

  async #returnTargets(): Promise<void> {
    for (const suffix of order) {
      const piece = this.#staged.pieces.find((each) => each.suffix === suffix)
      if (!piece || pieceAt(this.#staged.file, suffix)?.identity !== piece.identity) continue
      await moveTo(this.#staged.file + suffix, path.join(this.#staged.directory, targetFolder, pieceName(suffix)))
      this.#context.trace(`${this.#context.name}: ${pieceName(suffix)} returned`)
    }
  }

  /** Sets aside, under its own number each time, whatever stands at a live name but these. */
  async #setAside(keep: ReadonlySet<string>): Promise<void> {
    for (const suffix of order) {
      const piece = pieceAt(this.#staged.file, suffix)
      if (!piece || keep.has(piece.identity)) continue
      await this.#setPieceAside(suffix)
    }
  }

  async #setPieceAside(suffix: Suffix): Promise<void> {
    for (let number = this.#staged.replaced!.number; ; number++) {
      const folder = path.join(this.#staged.directory, `aside-${number}`)
      await makeFolder(folder)
      if (await moveTo(this.#staged.file + suffix, path.join(folder, pieceName(suffix)))) break
    }
    this.#context.trace(`${this.#context.name}: ${pieceName(suffix)} set aside`)
  }

  async #putIn(pieces: readonly { readonly suffix: Suffix; readonly identity: string }[]): Promise<void> {
    for (const suffix of order) {
      const piece = pieces.find((each) => each.suffix === suffix)
      const live = this.#staged.file + suffix
      while (piece && pieceAt(live, '')?.identity !== piece.identity) {
        const from = (await findByIdentity(this.#staged.directory)).get(piece.identity)
        if (!from)
          throw new EnvError('damaged', `${live}: the file that was kept for it is gone from ${this.#staged.directory}`)
        // Somebody may have made a file of that name in this moment: it is set aside too.
        if (!(await moveTo(from, live))) await this.#setPieceAside(suffix)
        this.#context.trace(`${this.#context.name}: ${pieceName(suffix)} put in place`)
      }
    }
  }

  async readBack(): Promise<void> {
    const { file, pieces } = this.#staged
    for (const piece of pieces) {
      const live = pieceAt(file, piece.suffix)
      if (live?.identity !== piece.identity) throw this.#notRestored(piece.suffix)
      // Its bytes were read back when it was staged; SQLite is asked where somebody has opened it since.
      if (live.bytes === piece.bytes && live.mtimeNs === piece.mtimeNs) continue
      if ((await this.#look()).state === 'damaged' && pieces.length === 1) throw this.#notRestored(piece.suffix)
    }
    const old = new Set(this.#staged.replaced?.pieces.map((piece) => piece.identity))
    const stale = piecesAt(file).find((piece: Piece) => old.has(piece.identity))
    if (stale) throw this.#notRestored(stale.suffix)
  }

  #notRestored(suffix: Suffix): EnvError {
    return new EnvError('damaged', `${this.#staged.file}${suffix} is not the file that was restored`)
  }

  async release(): Promise<void> {
    await this.close()
  }

  async before(sink: ContentSink, safety: ServiceRecord): Promise<ServiceRecord> {
    const replaced = this.#staged.replaced
    if (!replaced) return safety
    const base = { name: this.#context.name, level: safety.level }
    const { number, presence, reason } = replaced
    if (presence === 'absent') return absentRecord(base)
    if (presence === 'present' && (await namesIn(this.#staged.directory)).includes(path.basename(this.#copy(number)))) {
      return recordCopy(base, sink, this.#copy(number), safety.facts, this.#context.signal)
    }
    const folder = path.join(this.#staged.directory, `aside-${number}`)
    const pieces = piecesAt(path.join(folder, 'file'))
    if (presence === 'damaged') return damagedRecord(base, sink, folder, pieces, reason, () => {})
    const content = await sink.write('pages', new Uint8Array())
    return presentRecord(
      base,
      { name: 'database', kind: 'bytes', content },
      undefined,
      fileFacts(path.join(folder, 'file')),
    )
  }

  async discard(): Promise<void> {
    await this.close()
    await remove(this.#staged.directory)
  }

  /** SQLite must not tidy up by names that belong to other files now, so its process is killed. */
  async close(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    await session?.worker.kill()
  }

  #copy(number: number): string {
    return path.join(this.#staged.directory, `copy-${number}`)
  }

  async #nextNumber(): Promise<number> {
    const numbers = (await namesIn(this.#staged.directory)).map((name) => Number(/^aside-(\d+)$/.exec(name)?.[1] ?? -1))
    return Math.max(-1, ...numbers) + 1
  }

  /** From absent to absent there is no file to tell the states apart. */
  get #marker(): string {
    return path.join(this.#staged.directory, 'swapped')
  }

  async #isMarked(): Promise<boolean> {
    return (await namesIn(this.#staged.directory)).includes('swapped')
  }

  async #mark(): Promise<void> {
    if (this.#staged.pieces.length + this.#staged.replaced!.pieces.length === 0) await makeFolder(this.#marker)
  }
}
