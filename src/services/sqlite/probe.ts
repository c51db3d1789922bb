import type { Presence } from '../../domain/manifest.ts'
import type { Probe } from '../service-driver.ts'
import type { Found } from './capture.ts'

/** What `status` and `doctor` say of a database. */
export function describeFound(file: string, { look, session }: Found): Probe {
  const version = String(process.versions['sqlite'])
  const presence: Presence = look.state === 'plain' || look.state === 'empty' ? 'present' : look.state
  const bytes = look.pieces.reduce((sum, piece) => sum + piece.bytes, 0)
  const mode = session?.opened.journalMode ?? ''
  const summaries = {
    absent: `no database at ${file}`,
    empty: 'an empty file, which is an empty database',
    damaged: `damaged: ${look.reason}`,
    plain: `SQLite ${version}, ${mode === 'wal' ? 'WAL' : `${mode} mode`}, ${session?.opened.tables} tables`,
  }
  const waits = session !== undefined && !session.wal
  return {
    presence,
    summary: summaries[look.state],
    bytes: session?.opened.bytes ?? bytes,
    versions: { sqlite: version },
    rung: 'frozen: writers wait for a moment while the point is taken',
    swap: session ? 'in place' : 'rename',
    warnings: waits
      ? [`in ${mode} mode a writer waits until the database is copied: PRAGMA journal_mode = WAL would spare it that`]
      : [],
  }
}
