import { settleCode } from './code.ts'
import { type Hand, settleKeys, settleTriggers } from './keys.ts'
import { isOwnName, literal, quoted } from './names.ts'
import { readCounters, readSchema } from './read-schema.ts'
import { type Schema, sequenceAs, sequenceColumns } from './schema.ts'
import type { ServerFacts } from './server.ts'
import type { Session } from './session.ts'

export type Settling = {
  readonly session: Session
  readonly facts: ServerFacts
  readonly database: string
  readonly want: Schema
  /** What stood there before: triggers that are the same already stay. */
  readonly have: Schema
  /** Tables that came in, or stay and need another key or trigger. */
  readonly live: readonly string[]
  /** Tables that were set aside: their names of keys and triggers are free now. */
  readonly aside: readonly string[]
  readonly handFor: (table: string) => Hand
  /** Writers of the tables that stay, and the sequences, wait no longer. */
  readonly letStayingGo: () => Promise<void>
  /** Only these tables and sequences; null: also views, routines and events. */
  readonly only: readonly string[] | null
}

/**
 * After the rename: everything gets its own name. Until then tables work already, with keys and triggers under names of the moment; only
 * keys between a table that came and one that stayed are missing, for some milliseconds. Can be cut short anywhere, and begun again.
 */
export async function settle(settling: Settling): Promise<void> {
  const { session, facts, database, want, live, aside, handFor } = settling
  await session.execute('SET SESSION foreign_key_checks = 0')
  for (const actual of aside) await settleKeys({ session, locked: false }, facts, actual, [])
  for (const actual of aside) await dropTriggers(session, actual)
  for (const name of live) {
    const table = want.tables.find((each) => each.name === name)
    if (!table) continue
    const hand = handFor(name)
    if (hand.session !== session) await hand.session.execute('SET SESSION foreign_key_checks = 0')
    await settleKeys(hand, facts, name, table.foreignKeys)
  }
  await settleSequences(settling)
  for (const name of live) {
    const table = want.tables.find((each) => each.name === name)
    if (table) await settleDefaults(handFor(name).session, name, table.create)
  }
  // Whoever locks a table locks with it those that its triggers write to, and they may be among those that stay.
  if (want.triggers.some(({ table }) => live.includes(table))) await settling.letStayingGo()
  for (const name of live) {
    const wanted = want.triggers.filter(({ table }) => table === name)
    await settleTriggers(handFor(name), facts, name, wanted)
  }
  if (settling.only === null) {
    await settleCode(session, facts, database, await readSchema(session, facts, database), want)
  }
}

/** Sequences are set where they are: whoever asks them waits, or has asked before. */
async function settleSequences({ session, have, want, only, handFor }: Settling): Promise<void> {
  const takesPart = ({ name }: { readonly name: string }) => only === null || only.includes(name)
  const wanted = want.sequences.filter(takesPart)
  const rows = await session.query(
    `SELECT TABLE_NAME name FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'SEQUENCE'`,
  )
  const there = new Set(rows.map((row) => row['name']!))
  for (const sequence of wanted) {
    const { name, next, round } = sequence
    const isThere = there.has(name)
    const hand = isThere ? handFor(name).session : session
    if (!isThere) await session.execute(sequence.create)
    const [now] = await readCounters(hand, [sequence])
    const same = have.sequences.some((each) => each.name === name && each.create === sequence.create)
    if (isThere && same && now!.next === next && now!.round === round) continue
    await hand.execute(sequenceAs(sequence))
    if (round !== '0') await hand.execute(`DO SETVAL(${quoted(name)}, ${next}, 0, ${round})`)
  }
  for (const name of there) {
    const isExtra = !isOwnName(name) && takesPart({ name }) && !wanted.some((each) => each.name === name)
    if (isExtra) await handFor(name).session.execute(`DROP SEQUENCE ${quoted(name)}`)
  }
}

/** Columns whose defaults ask a sequence got none while they waited. */
async function settleDefaults(session: Session, name: string, create: string): Promise<void> {
  const columns = sequenceColumns(create)
  if (columns.length === 0) return
  const row = await session.first(`SHOW CREATE TABLE ${quoted(name)}`)
  if (sequenceColumns(row?.['Create Table'] ?? '').length === columns.length) return
  await session.execute(`ALTER TABLE ${quoted(name)} ${columns.map((column) => `MODIFY COLUMN ${column}`).join(', ')}`)
}

async function dropTriggers(session: Session, actual: string): Promise<void> {
  const rows = await session.query(
    `SELECT TRIGGER_NAME name FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = ${literal(actual)}`,
  )
  for (const row of rows) await session.execute(`DROP TRIGGER IF EXISTS ${quoted(row['name']!)}`)
}
