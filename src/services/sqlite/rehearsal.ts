import { DatabaseSync } from 'node:sqlite'
import { messageOf } from '../../domain/errors.ts'
import { openCopy, readSchema } from './digest.ts'

/** Makes the tables of a copy, with their indexes and without rows, in memory; gives what SQLite refuses, or undefined. */
export function rehearse(goal: string, tables: ReadonlySet<string>): string | undefined {
  const copy = openCopy(goal)
  const rows = readSchema(copy)
  copy.close()
  const stage = new DatabaseSync(':memory:', { enableForeignKeyConstraints: false, defensive: false })
  try {
    stage.exec('PRAGMA writable_schema = ON')
    for (const { table, root, sql } of rows) {
      if (root > 0 && sql !== null && tables.has(table) && !table.startsWith('sqlite_')) stage.prepare(sql).run()
    }
    return undefined
  } catch (error) {
    return messageOf(error)
  } finally {
    stage.close()
  }
}
