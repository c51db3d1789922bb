import { copyFileSync, linkSync, mkdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { EnvError, messageOf } from '../../domain/errors.ts'
import { type DatabaseDigest, type DigestedCopy, digestCopy, openCopy, type TableDigest } from './digest.ts'
import { fsyncPath, LiveDatabase, type Opened } from './live.ts'
import { changedPages, PageFile } from './page-file.ts'
import { type Look, look, type Piece, piecesAt } from './pieces.ts'
import { type Rewritten, rewriteInPlace } from './rewrite.ts'
import { isCorrupt, sqliteError } from './sqlite-error.ts'

export type Examined = {
  /** What SQLite's own check found wrong; undefined for a whole database. */
  readonly problem: string | undefined
  readonly digest: DatabaseDigest | undefined
}

/**
 * What a worker process does for its parent with one live database. Each is one message there and one back; all of it is plain data.
 * Raw reads of the live files (`look`, `keepRaw`) are refused once SQLite has them open: closing a file that was read
 * drops the POSIX locks of the whole process on it.
 */
export class Operations {
  readonly #path: string
  readonly #progress: (rows: number) => void
  #live: LiveDatabase | undefined
  /** The live data as it was when a swap was staged, and the version that it had then. */
  #baseline: (DigestedCopy & { readonly version: number }) | undefined
  #last: DigestedCopy | undefined

  constructor(path: string, progress: (rows: number) => void) {
    this.#path = path
    this.#progress = progress
  }

  look(): Look {
    this.#refuseWhenOpen()
    return look(this.#path)
  }

  open(): Opened {
    this.#live ??= new LiveDatabase(this.#path)
    return this.#live.describe()
  }

  hold(): boolean {
    return this.#opened().tryHold()
  }

  point(): void {
    this.#opened().point()
  }

  release(): void {
    this.#live?.release()
  }

  /** Copies the database as it was at `point`; what SQLite finds malformed on the way is `damaged`. */
  async copy({ to }: { to: string }): Promise<{ bytes: number }> {
    const live = this.#opened()
    await live.copyTo(to)
    live.endPoint()
    return { bytes: statSync(to).size }
  }

  /** Checks a copy and digests it. */
  examine({ path: copy }: { path: string }): Examined {
    if (statSync(copy).size === 0) return { problem: undefined, digest: undefined }
    try {
      const problem = quickCheck(copy)
      return { problem, digest: problem === undefined ? digestCopy(copy).digest : undefined }
    } catch (error) {
      if (!isCorrupt(error)) throw error
      return { problem: messageOf(error), digest: undefined }
    }
  }

  /** Copies the raw files into a folder, under their suffixes (`file`, `file-wal`, …). */
  keepRaw({ directory }: { directory: string }): Piece[] {
    this.#refuseWhenOpen()
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const pieces = piecesAt(this.#path)
    for (const { suffix } of pieces) {
      const to = path.join(directory, `file${suffix}`)
      copyFileSync(this.#path + suffix, to)
      fsyncPath(to)
    }
    return pieces
  }

  /** Copies the live data for a swap that is being staged: `lastCapture` compares with it. Writers go on but in delete mode. */
  async baseline({ to }: { to: string }): Promise<DatabaseDigest> {
    const live = this.#opened()
    const version = live.version()
    live.point()
    await live.copyTo(to)
    live.endPoint()
    this.#baseline = { version, ...digestCopy(to) }
    return this.#baseline.digest
  }

  /** Inside the hold: keeps the live data as it is now, durable, and digests it. Reads nothing when nothing was written since the baseline. */
  async lastCapture({ to }: { to: string }): Promise<{ unchanged: boolean }> {
    const live = this.#opened()
    if (!live.held) throw new EnvError('bug', `${this.#path}: the last capture was asked for outside of a hold`)
    const baseline = this.#baseline
    if (baseline && live.version() === baseline.version) {
      keepAs(baseline.path, to)
      this.#last = { ...baseline, path: to }
      return { unchanged: true }
    }
    live.point()
    await live.copyTo(to)
    live.endPoint()
    this.#last = digestCopy(to, baseline && untouchedTables(baseline, to))
    return { unchanged: false }
  }

  /** Inside the hold, after `lastCapture`: writes the goal's content, not committed yet. */
  rewrite(args: { goal: string; only?: readonly string[]; cookie: number }): Rewritten {
    const live = this.#opened()
    if (!live.held || !this.#last)
      throw new EnvError('bug', `${this.#path}: a rewrite without a hold and a last capture`)
    const goal = digestCopy(args.goal).digest
    const present = new Map(this.#last.digest.tables.map((table) => [table.name, table.digest]))
    const equal = goal.tables.filter((table) => present.get(table.name) === table.digest).map((table) => table.name)
    return rewriteInPlace(live.writer, { ...args, equal: new Set(equal), progress: this.#progress })
  }

  /** Ends the hold. */
  commit(): void {
    this.#opened().commit()
    this.#last = undefined
    this.#baseline = undefined
  }

  cookie(): number {
    return this.#opened().cookie()
  }

  /** See LiveDatabase.version. */
  version(): number {
    return this.#opened().version()
  }

  quickCheck(): string | undefined {
    return firstProblem(this.#opened().reader.prepare('PRAGMA quick_check(1)').all())
  }

  /** Brings what is in the -wal into the database file as far as readers allow, so that the next writer need not. */
  checkpoint(): void {
    this.#opened().reader.prepare('PRAGMA wal_checkpoint(PASSIVE)').all()
  }

  close(): void {
    this.#live?.close()
    this.#live = undefined
  }

  error(error: unknown): EnvError {
    return sqliteError(this.#path, error)
  }

  #opened(): LiveDatabase {
    if (!this.#live) throw new EnvError('bug', `${this.#path} is not open`)
    return this.#live
  }

  #refuseWhenOpen(): void {
    if (this.#live) throw new EnvError('bug', `${this.#path} is open and must not be read but by SQLite`)
  }
}

/** The first thing that SQLite's check finds wrong. A check that cannot run (a missing collation) is no damage. */
function quickCheck(copy: string): string | undefined {
  const database = openCopy(copy)
  try {
    return firstProblem(database.prepare('PRAGMA quick_check(1)').all())
  } catch (error) {
    if (isCorrupt(error)) throw error
    return undefined
  } finally {
    database.close()
  }
}

function firstProblem(rows: readonly Record<string, unknown>[]): string | undefined {
  const text = String(rows[0]?.['quick_check'] ?? 'ok')
  return text === 'ok' ? undefined : text.replaceAll(/\s+/g, ' ')
}

/** Tables none of whose pages differ: from its root such a table is reached through the same bytes in both copies. */
function untouchedTables(baseline: DigestedCopy, copy: string): Map<string, TableDigest> {
  const before = new PageFile(baseline.path)
  const after = new PageFile(copy)
  try {
    const changed = changedPages(before, after)
    if (!changed) return new Map()
    const touched = new Set([...changed].map((page) => baseline.owners[page] ?? -1))
    const { tables } = baseline.digest
    const untouched = tables.map((_, index) => index).filter((index) => !touched.has(index))
    return new Map(untouched.map((index) => [baseline.keys[index]!, tables[index]!]))
  } finally {
    before.close()
    after.close()
  }
}

/** A second name for a file that is complete and durable; a copy where the file system has no hard links. */
function keepAs(from: string, to: string): void {
  try {
    linkSync(from, to)
  } catch {
    copyFileSync(from, to)
    fsyncPath(to)
  }
  fsyncPath(path.dirname(to))
}
