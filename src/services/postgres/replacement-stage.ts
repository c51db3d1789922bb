import { EnvError } from '../../domain/errors.ts'
import type { ServiceContext, StageOptions } from '../service-driver.ts'
import { databaseOids, dropOwn } from './databases.ts'
import { createDatabaseStatement, propertyStatements, readDefinitions, sameDefinitions } from './definitions.ts'
import { type Link, serverFacts } from './link.ts'
import { loadDatabase, type StoredDatabase } from './load.ts'
import { ownNames } from './names.ts'
import { requireDumper } from './programs.ts'
import type { StagedReplacement } from './staged.ts'

const loaders = 2

/** Makes a database beside the live one, fills it, and compares it with what was stored. */
export async function stageReplacement(
  link: Link,
  context: ServiceContext,
  stored: StoredDatabase,
  options: StageOptions,
  warnings: readonly string[],
): Promise<StagedReplacement> {
  const { fresh } = ownNames(options.id, context.name, context.privateDirectory)
  const maintenance = await link.openMaintenance()
  await dropOwn(maintenance, fresh)
  const facts = await serverFacts(maintenance, context.name)
  const definitions = await stored.definitions()
  await maintenance.query(createDatabaseStatement(fresh, definitions.database, facts.major))
  context.trace(`${context.name}: database made`)
  const sessions = await Promise.all(Array.from({ length: loaders }, () => link.open(fresh)))
  await loadDatabase({ stored, sessions, progress: options.progress, signal: context.signal })
  for (const statement of propertyStatements(fresh, definitions.database, facts.user)) await maintenance.run(statement)
  const dumper = await requireDumper(context.name, facts.major)
  const made = await readDefinitions(link, {
    session: sessions[0]!,
    major: facts.major,
    dumper,
    signal: context.signal,
  })
  const isComparable = stored.facts.major === facts.major && stored.record.versions['pg_dump'] === dumper.version
  if (isComparable && !sameDefinitions(made, definitions)) {
    throw new EnvError(
      'damaged',
      `${context.name}: the definitions in the database that was made are not those of the snapshot`,
    )
  }
  await Promise.all(sessions.map((session) => session.close()))
  // The last word of the log is on disk before this is told as done; all that was loaded came before it.
  await maintenance.run(
    `SET synchronous_commit = on; COMMENT ON DATABASE "${fresh}" IS ${commentText(definitions.database.comment)}`,
  )
  const oid = (await databaseOids(maintenance, [fresh])).get(fresh)!
  context.trace(`${context.name}: staged`)
  return { way: 'rename', warnings, id: options.id, database: link.server.database, freshOid: oid }
}

function commentText(comment: string): string {
  return comment === '' ? 'NULL' : `E'${comment.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}
