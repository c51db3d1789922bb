import { closeSync, fsyncSync, openSync, rmSync } from 'node:fs'
import path from 'node:path'
import { backup, DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { isBusy, resultCode } from './sqlite-error.ts'

export type Opened = {
  readonly journalMode: string
  readonly pageSize: number
  readonly bytes: number
  readonly encoding: string
  readonly tables: number
  readonly userVersion: number
  readonly cookie: number
}

/** One attempt to make writers wait: short, since while it waits nobody else gets in either. */
const attemptMs = 20
/** Others may be in the way of a reader, or of a commit, for as long as their transactions take. */
const patienceMs = 10_000
const cacheKiB = 2048
/** `backup` copies in one step only when asked for more pages than there can be. */
const allPages = 2 ** 31 - 1

/**
 * The live database of one worker process, by two connections: one that makes writers wait, one that reads at a point.
 * Only SQLite touches the live files here.
 */
export class LiveDatabase {
  readonly path: string
  readonly writer: DatabaseSync
  readonly reader: DatabaseSync
  #held = false

  constructor(file: string) {
    this.path = file
    const options = { enableForeignKeyConstraints: false, timeout: patienceMs, defensive: false }
    const url = `${pathToFileURL(file).href}?mode=rw`
    this.writer = new DatabaseSync(url, options)
    this.reader = new DatabaseSync(url, options)
    for (const connection of [this.writer, this.reader]) {
      connection.exec(`PRAGMA cache_size = -${cacheKiB}; PRAGMA temp_store = MEMORY; PRAGMA synchronous = FULL`)
    }
  }

  /** Reads the schema, so damage shows here; says what was found. */
  describe(): Opened {
    const pragma = (name: string) => this.reader.prepare(`PRAGMA ${name}`).get()?.[name]
    const tables = this.reader.prepare(`SELECT count(*) AS n FROM sqlite_schema WHERE type = 'table'`).get()
    const pageSize = Number(pragma('page_size'))
    return {
      journalMode: String(pragma('journal_mode')),
      pageSize,
      bytes: pageSize * Number(pragma('page_count')),
      encoding: String(pragma('encoding')),
      tables: Number(tables?.['n']),
      userVersion: Number(pragma('user_version')),
      cookie: Number(pragma('schema_version')),
    }
  }

  get held(): boolean {
    return this.#held
  }

  /** One short attempt to make writers wait; false when another writer is in the way. */
  tryHold(): boolean {
    if (this.#held) return true
    this.writer.exec(`PRAGMA busy_timeout = ${attemptMs}`)
    try {
      this.writer.exec('BEGIN IMMEDIATE')
      // The write lock is had with the first read of the database's state, so what is read from here on is the last commit.
      this.writer.prepare('PRAGMA schema_version').get()
    } catch (error) {
      if (!isBusy(error)) throw error
      return false
    } finally {
      this.writer.exec(`PRAGMA busy_timeout = ${patienceMs}`)
    }
    this.#held = true
    return true
  }

  /** The reader keeps to what is committed now until `endPoint`. */
  point(): void {
    this.endPoint()
    this.reader.exec('BEGIN')
    this.reader.prepare('SELECT count(*) FROM sqlite_schema').get()
  }

  endPoint(): void {
    if (this.reader.isTransaction) this.reader.exec('ROLLBACK')
  }

  /** Lets writers go on; what was not committed is undone. */
  release(): void {
    this.#held = false
    if (this.writer.isTransaction) this.writer.exec('ROLLBACK')
  }

  /** Makes durable what was written under the hold, which ends with it. */
  commit(): void {
    this.writer.exec('COMMIT')
    this.#held = false
  }

  /** Changes when another connection commits; our own commits do not count. */
  version(): number {
    return Number(this.writer.prepare('PRAGMA data_version').get()?.['data_version'])
  }

  cookie(): number {
    return Number(this.writer.prepare('PRAGMA main.schema_version').get()?.['schema_version'])
  }

  /** Copies the database as it was at `point` in one step, and makes the copy durable. */
  async copyTo(to: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      rmSync(to, { force: true })
      try {
        await backup(this.reader, to, { rate: allPages })
        break
      } catch (error) {
        if (!isBusy(error) || attempt === 5) throw error
      }
    }
    fsyncPath(to)
    fsyncPath(path.dirname(to))
  }

  close(): void {
    for (const connection of [this.reader, this.writer]) {
      try {
        if (connection.isTransaction) connection.exec('ROLLBACK')
        connection.close()
      } catch (error) {
        if (resultCode(error) === undefined && !String(error).includes('not open')) throw error
      }
    }
  }
}

export function fsyncPath(path: string): void {
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
