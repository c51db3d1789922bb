import type { Marker } from '../service-driver.ts'
import { literal, quoted } from './names.ts'
import { atLeast, type ServerFacts } from './server.ts'
import { isServerError, type Session } from './session.ts'

const begin = '[git-env '
const longestComment = 1024

/** A database's comment: the user's own text, with our marker in brackets behind it. */
export function readMarkerComment(text: string): { readonly comment: string; readonly marker: Marker | undefined } {
  const at = text.lastIndexOf(begin)
  if (at < 0 || !text.endsWith(']')) return { comment: text, marker: undefined }
  const comment = text.slice(0, at).replace(/ $/, '')
  try {
    const [ref, restoring] = JSON.parse(`[${text.slice(at + begin.length)}`) as [unknown, unknown]
    if (typeof ref !== 'string') return { comment: text, marker: undefined }
    return { comment, marker: typeof restoring === 'string' ? { ref, restoring } : { ref } }
  } catch {
    return { comment: text, marker: undefined }
  }
}

export function markerComment(comment: string, marker: Marker | undefined): string {
  if (!marker) return comment
  const words = JSON.stringify(marker.restoring === undefined ? [marker.ref] : [marker.ref, marker.restoring])
  const full = `${comment}${comment === '' ? '' : ' '}${begin}${words.slice(1)}`
  return full.length > longestComment ? comment : full
}

/** Only MariaDB has comments of databases, from 10.5 on. */
export function hasComments(facts: ServerFacts): boolean {
  return facts.product === 'MariaDB' && atLeast(facts, 10, 5)
}

export async function databaseComment(session: Session, database: string): Promise<string | undefined> {
  const row = await session.first(
    `SELECT SCHEMA_COMMENT comment FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ${literal(database)}`,
  )
  return row?.['comment'] ?? undefined
}

/** Does nothing where there is no database, no place for a marker, or no right to leave one. */
export async function writeComment(session: Session, database: string, text: string): Promise<void> {
  try {
    await session.execute(`ALTER DATABASE ${quoted(database)} COMMENT = ${literal(text)}`)
  } catch (error) {
    if (!isServerError(error, 1044, 1142, 1227, 1008, 1049)) throw error
  }
}
