import { EnvError } from '../../domain/errors.ts'
import { type Evidence, isUntouched, readEvidenceOf } from './evidence.ts'
import type { Schema } from './schema.ts'
import type { ServerFacts } from './server.ts'
import type { Session } from './session.ts'
import type { EqualTable } from './staged.ts'
import { digestOf } from './stager.ts'

/** As much is read again while writers wait. */
const inHoldBytes = 4_194_304

export type Judgement = {
  /** Surely what they were. */
  readonly untouched: readonly EqualTable[]
  /** To be read inside the hold: small, and the server's evidence does not tell. */
  readonly toRead: readonly EqualTable[]
  /** Too large to read inside the hold: they are staged after all. */
  readonly doubtful: readonly EqualTable[]
}

/** Which of the tables that were equal to the target may have been written to since the safety snapshot. */
export function judge(equal: readonly EqualTable[], before: Evidence, now: Evidence): Judgement {
  const untouched: EqualTable[] = []
  const toRead: EqualTable[] = []
  const doubtful: EqualTable[] = []
  let bytes = 0
  for (const table of equal.toSorted((a, b) => a.content.bytes - b.content.bytes)) {
    if (isUntouched(table.name, before, now)) untouched.push(table)
    else if (bytes + table.content.bytes <= inHoldBytes) {
      bytes += table.content.bytes
      toRead.push(table)
    } else doubtful.push(table)
  }
  return { untouched, toRead, doubtful }
}

/** Inside the hold: names of the tables that are no longer what they were. `reader` gives plain bytes. */
export async function findWritten(
  session: Session,
  reader: Session,
  facts: ServerFacts,
  database: string,
  equal: readonly EqualTable[],
  before: Evidence,
  schema: Schema,
): Promise<string[]> {
  const names = equal.map(({ name }) => name)
  const now = await readEvidenceOf(session, facts, database, names)
  const { toRead, doubtful } = judge(equal, before, now)
  const written = doubtful.map(({ name }) => name)
  for (const { name, content, rows } of toRead) {
    const definition = schema.tables.find((table) => table.name === name)
    if (!definition) throw new EnvError('damaged', `the snapshot has no definition of ${name}`)
    const found = await digestOf(reader, definition, name).catch(() => undefined)
    if (found?.sha256 !== content.sha256 || found.rows !== rows) written.push(name)
  }
  return written
}
