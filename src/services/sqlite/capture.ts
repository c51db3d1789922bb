import path from 'node:path'
import type { Json } from '../../domain/canonical-json.ts'
import type { ContentSink } from '../../domain/content.ts'
import { EnvError, messageOf } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { Capture, CaptureOptions, ServiceContext } from '../service-driver.ts'
import { LiveSession } from './live-session.ts'
import { type Look, type Piece, pieceAt, piecesAt } from './pieces.ts'
import { remove, requireRoom, temporaryPlace } from './place.ts'
import { absentRecord, damagedRecord, presentRecord, storeDatabase } from './records.ts'
import { WorkerProcess } from './worker-process.ts'

/** What was found before anything was done, and the session on it where SQLite can read it. */
export type Found = { readonly look: Look; readonly session?: LiveSession }

/** Looks at the raw file first, and lets SQLite open only what may be a database. */
export async function find(file: string, signal: AbortSignal): Promise<Found> {
  const worker = new WorkerProcess(file, signal)
  let session: LiveSession | undefined
  try {
    const look = await worker.call('look')
    if (look.state !== 'plain') return { look }
    try {
      session = await LiveSession.open(file, worker)
      return { look, session }
    } catch (error) {
      if (!(error instanceof EnvError) || error.code !== 'damaged') throw error
      return { look: { ...look, state: 'damaged', reason: error.message } }
    }
  } finally {
    if (!session) await worker.kill()
  }
}

/** One capture of a database: the copy is of the moment of `point`, however long copying takes and whatever is written meanwhile. */
export class SqliteCapture implements Capture {
  readonly #file: string
  readonly #context: ServiceContext
  readonly #sink: ContentSink
  readonly #options: CaptureOptions
  readonly #found: Found
  #place: string | undefined
  #held = false
  #frozen = false
  #pointAt = 0

  constructor(file: string, context: ServiceContext, sink: ContentSink, options: CaptureOptions, found: Found) {
    this.#file = file
    this.#context = context
    this.#sink = sink
    this.#options = options
    this.#found = found
  }

  async hold(limitMs: number): Promise<void> {
    await this.#found.session?.hold(limitMs)
    this.#held = true
  }

  async point(): Promise<void> {
    this.#pointAt = performance.now()
    this.#frozen = this.#held
    const { look, session } = this.#found
    if (session) return session.worker.call('point')
    // A -shm holds no data, and may lie there since the database was another.
    const there = piecesAt(this.#file).some((piece) => piece.suffix !== '-shm' && piece.bytes > 0)
    if (look.state !== 'damaged' && there) {
      throw new EnvError('busy', `${this.#file} was made while it was being captured`, {
        hint: 'run the command again',
      })
    }
  }

  async release(): Promise<void> {
    this.#held = false
    await this.#found.session?.worker.call('release')
  }

  async copy(): Promise<ServiceRecord> {
    const base = { name: this.#context.name, level: this.#frozen ? ('frozen' as const) : ('point' as const) }
    const { look, session } = this.#found
    if (look.state === 'absent') return absentRecord(base)
    this.#place = await temporaryPlace(this.#context.privateDirectory)
    const bytes = look.pieces.reduce((sum, piece) => sum + piece.bytes, 0)
    await requireRoom(this.#place, Math.max(bytes, session?.opened.bytes ?? 0))
    if (look.state === 'damaged') return this.#copyRaw(base, look.reason ?? 'damaged')
    if (!session) return presentRecord(base, await this.#storeEmpty(), undefined, fileFacts(this.#file))
    return this.#copyDatabase(base, session, path.join(this.#place, 'database'))
  }

  async close(): Promise<void> {
    await this.#endSession()
    if (this.#place) await remove(this.#place)
  }

  async #copyDatabase(base: { name: string; level: 'frozen' | 'point' }, session: LiveSession, copy: string) {
    try {
      await session.worker.call('copy', { to: copy })
    } catch (error) {
      if (!(error instanceof EnvError) || error.code !== 'damaged') throw error
      return this.#copyRaw(base, error.message)
    }
    // In other modes than WAL a reader keeps writers from committing, so they waited until here.
    const copiedMicros = Math.round((performance.now() - this.#pointAt) * 1000)
    const examined = session.worker.call('examine', { path: copy })
    const stored = storeDatabase(this.#sink, copy, this.#options.progress)
    const [check, stream] = await Promise.allSettled([examined, stored])
    if (check.status === 'rejected') throw check.reason
    if (check.value.problem !== undefined) return this.#copyRaw(base, check.value.problem)
    if (stream.status === 'rejected') throw stream.reason
    return presentRecord(base, stream.value, check.value.digest, {
      ...fileFacts(this.#file),
      heldMicros: session.wal ? 0 : copiedMicros,
    })
  }

  /** The raw files as they lie there. SQLite must have let go of them without tidying up, so its process is killed. */
  async #copyRaw(base: { name: string; level: 'frozen' | 'point' }, reason: string): Promise<ServiceRecord> {
    if (this.#options.damage === 'refuse') {
      throw new EnvError('damaged', `${this.#file} is damaged: ${reason}`, {
        hint: 'restore a snapshot of it: git env restore keeps what is there as it is',
      })
    }
    await this.#found.session?.worker.kill()
    const directory = path.join(this.#place!, 'raw')
    const pieces = await keepRaw(this.#file, directory, this.#context.signal)
    return damagedRecord(base, this.#sink, directory, pieces, messageOf(reason), this.#options.progress)
  }

  async #storeEmpty() {
    return { name: 'database', kind: 'bytes' as const, content: await this.#sink.write('pages', new Uint8Array()) }
  }

  /** Where a -wal was there before, SQLite is not let near it again: as the last to close it would check it in. */
  async #endSession(): Promise<void> {
    const { look, session } = this.#found
    if (look.pieces.some(({ suffix }) => suffix === '-wal')) await session?.worker.kill()
    else await session?.worker.rest()
  }
}

/** Mode and owner of the database's file; of an empty one, which is brought back as the file it is, its time too. */
export function fileFacts(file: string): Record<string, Json> {
  const piece = pieceAt(file, '')
  if (!piece) return {}
  const { mode, uid, gid, mtimeNs } = piece
  return { mode, uid, gid, ...(piece.bytes === 0 ? { mtimeNs } : {}) }
}

const rawHoldMs = 1000

/** Copies the raw files, with writers held where SQLite can still hold them: what opens may well be damaged further in. */
async function keepRaw(file: string, directory: string, signal: AbortSignal): Promise<Piece[]> {
  const found = await find(file, signal)
  const copier = new WorkerProcess(file, signal)
  try {
    await found.session?.hold(rawHoldMs).catch(() => {})
    return await copier.call('keepRaw', { directory })
  } finally {
    await copier.kill()
    await found.session?.worker.kill()
  }
}
