import type { ContentSource } from '../../domain/content.ts'
import type { Database } from './database.ts'
import { stagedName } from './names.ts'
import type { Schema } from './schema.ts'
import type { ServerFacts } from './server.ts'
import type { Session } from './session.ts'
import { prepareParts, tableOf } from './stage.ts'
import type { StagedDatabase } from './staged.ts'
import { stageTables } from './stager.ts'

export type More = {
  readonly database: Database
  readonly main: Session
  readonly facts: ServerFacts
  readonly source: ContentSource
  /** The target's definitions. */
  readonly schema: Schema
}

/** Stages tables that were equal to the target and may not be any more. Gives what the journal has to know. */
export async function stageMore(
  { database, main, facts, source, schema }: More,
  staged: StagedDatabase,
  names: readonly string[],
): Promise<StagedDatabase> {
  const { id, parts, equal } = staged
  let number = Math.max(-1, ...parts.map((part) => part.number)) + 1
  const added = names.map((name) => ({ name, number: number++, comes: true, goes: false }))
  const tables = added.map((part) => ({
    definition: tableOf(schema, part.name),
    number: part.number,
    target: equal.find(({ name }) => name === part.name)!,
  }))
  await stageTables({ database, facts, id, source, progress() {}, exact: false }, tables)
  await main.execute('SET SESSION foreign_key_checks = 0')
  const all = [...parts, ...added]
  const waiting = all.filter((part) => part.comes)
  await prepareParts(main, facts, id, schema, waiting, stagedName)
  return { ...staged, parts: all, equal: equal.filter(({ name }) => !names.includes(name)) }
}
