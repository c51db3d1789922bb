import { canonicalJson, type Json } from '../../domain/canonical-json.ts'
import { databaseComment, hasComments, markerComment, readMarkerComment, writeComment } from './marker.ts'
import { literal, quoted } from './names.ts'
import type { CodeDefinition, EventDefinition, RoutineDefinition, Schema } from './schema.ts'
import type { ServerFacts } from './server.ts'
import type { Session } from './session.ts'

type Settings = Pick<CodeDefinition, 'charset' | 'collation'> & {
  readonly sqlMode?: string
  readonly timeZone?: string
}

const ours = `SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', character_set_client = utf8mb4, collation_connection = utf8mb4_general_ci`

/** Runs a definition under the settings that it was made under, so that it is recorded with them again. */
export async function define(session: Session, sql: string, settings: Settings): Promise<void> {
  const charset = keepsCharset(sql, settings.charset) ? settings.charset : 'utf8mb4'
  const parts = [
    ...(settings.sqlMode === undefined ? [] : [`sql_mode = ${literal(settings.sqlMode)}`]),
    ...(settings.timeZone ? [`time_zone = ${literal(settings.timeZone)}`] : []),
    ...(charset === '' ? [] : [`character_set_client = ${charset}`]),
    ...(settings.collation === '' ? [] : [`collation_connection = ${settings.collation}`]),
  ]
  if (parts.length > 0) await session.execute(`SET SESSION ${parts.join(', ')}`)
  try {
    await session.execute(sql)
  } finally {
    await session.execute(ours)
  }
}

/** A text of other than ASCII letters that was not made in UTF-8 is sent in UTF-8, and recorded so. */
export function keepsCharset(sql: string, charset: string): boolean {
  return charset.startsWith('utf8') || !/[^\0-\x7f]/.test(sql)
}

/** Makes views, routines, events and the database's own settings as wanted; what is so already stays. */
export async function settleCode(
  session: Session,
  facts: ServerFacts,
  database: string,
  have: Pick<Schema, 'database' | 'views' | 'routines' | 'events'>,
  want: Pick<Schema, 'database' | 'views' | 'routines' | 'events'>,
): Promise<void> {
  const { charset, collation } = want.database
  const isNamed = charset !== ''
  if (isNamed && (charset !== have.database.charset || collation !== have.database.collation)) {
    await session.execute(`ALTER DATABASE ${quoted(database)} CHARACTER SET ${charset} COLLATE ${collation}`)
  }
  if (isNamed && hasComments(facts) && want.database.comment !== have.database.comment) {
    const { marker } = readMarkerComment((await databaseComment(session, database)) ?? '')
    await writeComment(session, database, markerComment(want.database.comment, marker))
  }
  for (const name of extra(have.views, want.views)) await session.execute(`DROP VIEW IF EXISTS ${quoted(name)}`)
  for (const { kind, name } of have.routines) {
    const wanted = want.routines.some((each) => each.name === name && each.kind === kind)
    if (!wanted) await session.execute(`DROP ${kind} IF EXISTS ${quoted(name)}`)
  }
  for (const name of extra(have.events, want.events)) await session.execute(`DROP EVENT IF EXISTS ${quoted(name)}`)
  await makeRoutines(session, facts, changed(have.routines, want.routines))
  await makeViews(session, changed(have.views, want.views))
  await makeEvents(session, facts, changed(have.events, want.events))
}

function extra(have: readonly CodeDefinition[], want: readonly CodeDefinition[]): string[] {
  const wanted = new Set(want.map(({ name }) => name))
  return have.map(({ name }) => name).filter((name) => !wanted.has(name))
}

function changed<T extends CodeDefinition>(have: readonly T[], want: readonly T[]): T[] {
  const there = new Set(have.map((each) => canonicalJson(each as unknown as Json)))
  return want.filter((each) => !there.has(canonicalJson(each as unknown as Json)))
}

async function makeRoutines(session: Session, facts: ServerFacts, routines: readonly RoutineDefinition[]) {
  // A package's body comes after the package: so do the names of their kinds.
  for (const routine of routines.toSorted((a, b) => (a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : 0))) {
    await replace(session, facts, routine.kind, routine)
  }
}

async function makeEvents(session: Session, facts: ServerFacts, events: readonly EventDefinition[]) {
  for (const event of events) await replace(session, facts, 'EVENT', event)
}

/** MySQL has no `CREATE OR REPLACE` for these. */
async function replace(
  session: Session,
  facts: ServerFacts,
  kind: string,
  definition: RoutineDefinition | EventDefinition,
): Promise<void> {
  if (facts.product === 'MySQL') {
    await session.execute(`DROP ${kind} IF EXISTS ${quoted(definition.name)}`)
    return define(session, definition.create, definition)
  }
  await define(session, definition.create.replace(/^CREATE /, 'CREATE OR REPLACE '), definition)
}

/** Views may refer to each other in any order: those that can be made are, until none is left, or no more can be. */
async function makeViews(session: Session, views: readonly CodeDefinition[]): Promise<void> {
  let left = views
  while (left.length > 0) {
    const failed: CodeDefinition[] = []
    let reason: unknown
    for (const view of left) {
      try {
        await define(session, view.create.replace(/^CREATE /, 'CREATE OR REPLACE '), view)
      } catch (error) {
        reason = error
        failed.push(view)
      }
    }
    if (failed.length === left.length) throw reason
    left = failed
  }
}
