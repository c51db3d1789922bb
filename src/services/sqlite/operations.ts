import { copyFileSync, linkSync, mkdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { EnvError, messageOf } from '../../domain/errors.ts'
import { type Comparison, compareCopies, untouchedTables } from './comparison.ts'
import { type DatabaseDigest, type DigestedCopy, digestCopy, openCopy } from './digest.ts'
import { fsyncPath, LiveDatabase, type Opened } from './live.ts'
import { type Look, look, type Piece, piecesAt } from './pieces.ts'
import { rehearse } from './rehearsal.ts'
import { forgetRewrite, type Rewritten, rewriteInPlace } from './rewrite.ts'
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
  /** The live data as it was ahead of a hold, the version that it had then, and how it differed from the goal. */
  #ahead: { readonly copy: DigestedCopy; readonly version: number; readonly comparison: Comparison } | undefined
  #goal: DigestedCopy | undefined
  #last: { readonly copy: DigestedCopy; readonly untouched: ReadonlySet<string> } | undefined

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

  /**
   * Ahead of a hold: copies the live data and compares it with the goal, so that inside the hold only what was written since need be read.
   * Writers go on, but for the time of the copy in other modes than WAL.
   */
  async readAhead({ to, goal }: { to: string; goal: string }): Promise<void> {
    const live = this.#opened()
    const version = live.version()
    live.point()
    await live.copyTo(to)
    live.endPoint()
    const copy = digestCopy(to)
    this.#ahead = { copy, version, comparison: compareCopies(copy, this.#digestGoal(goal)) }
  }

  /** What keeps these tables of a copy from being written by SQL here: functions or collations that only the application has. */
  rehearse({ goal, tables }: { goal: string; tables: readonly string[] }): string | undefined {
    return rehearse(goal, new Set(tables))
  }

  /** Inside the hold: keeps the live data as it is now, durable, and digests it. Reads nothing when nothing was written since `readAhead`. */
  async lastCapture({ to }: { to: string }): Promise<void> {
    const live = this.#opened()
    if (!live.held) throw new EnvError('bug', `${this.#path}: the last capture was asked for outside of a hold`)
    const ahead = this.#ahead
    if (ahead && live.version() === ahead.version) {
      keepAs(ahead.copy.path, to)
      this.#last = { copy: ahead.copy, untouched: new Set(ahead.copy.digest.tables.map((table) => table.name)) }
      return
    }
    live.point()
    await live.copyTo(to)
    live.endPoint()
    const known = ahead && untouchedTables(ahead.copy, to)
    const copy = digestCopy(to, known)
    const untouched = copy.keys.map((key) => known?.get(key)?.name).filter((name) => name !== undefined)
    this.#last = { copy, untouched: new Set(untouched) }
  }

  /** Inside the hold, after `lastCapture`: writes the goal's content, not committed yet. */
  rewrite(args: { goal: string; only?: readonly string[]; cookie: number }): Rewritten {
    const live = this.#opened()
    const last = this.#last
    if (!live.held || !last) throw new EnvError('bug', `${this.#path}: a rewrite without a hold and a last capture`)
    const sameGoal = this.#goal?.path === args.goal
    const goal = this.#digestGoal(args.goal)
    const comparison = compareCopies(last.copy, goal, sameGoal ? this.#ahead?.comparison : undefined, last.untouched)
    return rewriteInPlace(live.writer, { ...args, comparison, progress: this.#progress })
  }

  #digestGoal(path: string): DigestedCopy {
    if (this.#goal?.path !== path) this.#goal = digestCopy(path)
    return this.#goal
  }

  /** Ends the hold. */
  commit(): void {
    this.#opened().commit()
    forgetRewrite(this.#opened().writer)
    this.#last = undefined
    this.#ahead = undefined
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
