import { define } from './code.ts'
import { literal, quoted, temporaryName } from './names.ts'
import { parseForeignKey, splitCreate, type TriggerDefinition, triggerAs } from './schema.ts'
import type { ServerFacts } from './server.ts'
import type { Session } from './session.ts'

/** Which session may change a table, and whether it holds that table locked already. */
export type Hand = { readonly session: Session; readonly locked: boolean }

/**
 * Gives a table that waits its foreign keys to other tables that wait, under names of the moment: so they hold from the first instant on.
 * `placeOf` says where a parent waits; keys to other tables come after the swap.
 */
export async function prepareKeys(
  session: Session,
  facts: ServerFacts,
  actual: string,
  wanted: readonly string[],
  placeOf: (table: string) => string | undefined,
): Promise<void> {
  if (wanted.length === 0) return
  const text = await textOf(session, actual)
  const have = splitCreate(text).foreignKeys
  const adds: string[] = []
  for (const [i, line] of wanted.entries()) {
    const key = parseForeignKey(line)
    const place = key.parent === undefined ? undefined : placeOf(key.parent)
    const name = temporaryName(actual, 'key', i)
    if (place === undefined || have.some((each) => parseForeignKey(each).name === name)) continue
    adds.push(addition(facts, text, name, key.clause(place)))
  }
  if (adds.length > 0) await session.execute(`ALTER TABLE ${quoted(actual)} ${adds.join(', ')}`)
}

/** Makes a table's foreign keys those that are wanted, by their own names, with no moment without them where they were there under others. */
export async function settleKeys(
  { session }: Hand,
  facts: ServerFacts,
  actual: string,
  wanted: readonly string[],
): Promise<void> {
  const text = await textOf(session, actual)
  const have = splitCreate(text).foreignKeys
  const drop = have.filter((line) => !wanted.includes(line)).map((line) => parseForeignKey(line).name)
  const add = wanted.filter((line) => !have.includes(line))
  const drops = drop.map((name) => `DROP FOREIGN KEY ${quoted(name)}`)
  const adds = add.map((line) => {
    const key = parseForeignKey(line)
    return addition(facts, text, key.name, key.clause())
  })
  const sameName = add.some((line) => drop.includes(parseForeignKey(line).name))
  for (const changes of sameName ? [drops, adds] : [[...drops, ...adds]]) {
    if (changes.length > 0) await session.execute(`ALTER TABLE ${quoted(actual)} ${changes.join(', ')}`)
  }
}

async function textOf(session: Session, actual: string): Promise<string> {
  return (await session.first(`SHOW CREATE TABLE ${quoted(actual)}`))?.['Create Table'] ?? ''
}

const indexLine = /^ {2}(?:UNIQUE )?KEY (`(?:[^`]|``)+`) \((.*)\)/
const clauseColumns = /^FOREIGN KEY \((.*?)\) REFERENCES /

/**
 * An index that once came with a key, and not by its own statement, is made anew with every new key, under that one's name. MariaDB takes
 * another name for it: in `CONSTRAINT a FOREIGN KEY b`, `a` names the index and `b` the key.
 */
function addition({ product }: ServerFacts, text: string, name: string, clause: string): string {
  const columns = clauseColumns.exec(clause)?.[1] ?? ''
  const indexes = text.split('\n').flatMap((line) => {
    const [, index = '', parts = ''] = indexLine.exec(line) ?? []
    return parts === columns || parts.startsWith(`${columns},`) ? [index] : []
  })
  if (product === 'MySQL' || indexes[0] === undefined) return `ADD CONSTRAINT ${quoted(name)} ${clause}`
  return `ADD CONSTRAINT ${indexes[0]} ${clause.replace(/^FOREIGN KEY /, `FOREIGN KEY ${quoted(name)} `)}`
}

/** Gives a table that waits its triggers, under names of the moment: no row is ever written without them. */
export async function prepareTriggers(
  session: Session,
  actual: string,
  wanted: readonly TriggerDefinition[],
): Promise<void> {
  const have = await triggersOf(session, actual)
  const names = wanted.map((_, i) => temporaryName(actual, 'trigger', i))
  const isReady = [names, wanted.map(({ name }) => name)].some((list) => list.join('\n') === have.join('\n'))
  if (isReady) return
  for (const name of have) await session.execute(`DROP TRIGGER IF EXISTS ${quoted(name)}`)
  for (const [i, trigger] of wanted.entries()) await define(session, statementOf(trigger, names[i]!, actual), trigger)
}

/** Makes a live table's triggers those that are wanted, while nobody can write to it: there is no row without them. */
export async function settleTriggers(
  { session, locked }: Hand,
  { product }: ServerFacts,
  table: string,
  wanted: readonly TriggerDefinition[],
): Promise<void> {
  const have = await triggersOf(session, table)
  if (have.join('\n') === wanted.map(({ name }) => name).join('\n') && (await areSame(session, wanted))) return
  if (!locked) await session.execute(`LOCK TABLES ${quoted(table)} WRITE`)
  try {
    for (const trigger of wanted) {
      const statement = statementOf(trigger, trigger.name, table)
      const isThere = have.includes(trigger.name)
      if (isThere && product === 'MySQL') await session.execute(`DROP TRIGGER ${quoted(trigger.name)}`)
      const replacing = isThere && product === 'MariaDB'
      await define(session, replacing ? statement.replace(/^CREATE /i, 'CREATE OR REPLACE ') : statement, trigger)
    }
    for (const name of have) {
      if (!wanted.some((each) => each.name === name)) await session.execute(`DROP TRIGGER ${quoted(name)}`)
    }
  } finally {
    if (!locked) await session.execute('UNLOCK TABLES')
  }
}

/** To the letter: a rename writes the table's new name into the text. */
async function areSame(session: Session, wanted: readonly TriggerDefinition[]): Promise<boolean> {
  for (const { name, create, sqlMode } of wanted) {
    const row = await session.first(`SHOW CREATE TRIGGER ${quoted(name)}`)
    if (row?.['SQL Original Statement'] !== create || row['sql_mode'] !== sqlMode) return false
  }
  return true
}

/** The statement as it was typed, where name and table are the same. */
function statementOf(trigger: TriggerDefinition, name: string, table: string): string {
  if (name === trigger.name && table === trigger.table && !/\b(?:FOLLOWS|PRECEDES)\b/i.test(trigger.create)) {
    return trigger.create
  }
  return triggerAs(trigger.create, name, table) ?? trigger.create
}

/** Names, in the order in which the schema lists triggers. */
async function triggersOf(session: Session, table: string): Promise<string[]> {
  const rows = await session.query(
    `SELECT TRIGGER_NAME name FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = ${literal(table)} ORDER BY EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER`,
  )
  return rows.map((row) => row['name']!)
}
