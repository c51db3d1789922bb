import { EnvError } from '../../domain/errors.ts'
import type { ServiceContext } from '../service-driver.ts'
import { dropOwn } from './databases.ts'
import { createDatabaseStatement, propertyStatements } from './definitions.ts'
import { type Link, serverFacts } from './link.ts'
import { makeDefinitions, type StoredDatabase } from './load.ts'
import { ownNames } from './names.ts'

/**
 * Undo makes anew what a restore takes away: tries that with an empty database, before anything is taken away. Who owns one database may find in
 * it what others made, and may not be allowed to make it again.
 */
export async function rehearseUndo(
  link: Link,
  context: ServiceContext,
  live: StoredDatabase,
  id: string,
): Promise<void> {
  const { fresh } = ownNames(id, context.name, context.privateDirectory)
  const maintenance = await link.openMaintenance()
  await dropOwn(maintenance, fresh)
  const facts = await serverFacts(maintenance, context.name)
  const definitions = await live.definitions()
  try {
    await maintenance.query(createDatabaseStatement(fresh, definitions.database, facts.major))
    const session = await link.open(fresh)
    await makeDefinitions(session, definitions, context.name)
    await session.close()
    for (const statement of propertyStatements(fresh, definitions.database, facts.user))
      await maintenance.run(statement)
  } catch (error) {
    if (!(error instanceof EnvError) || error.code === 'cancelled') throw error
    throw new EnvError('refused', `${error.message}; so undo could not bring back what is there now`, {
      cause: error.cause,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    })
  } finally {
    await dropOwn(maintenance, fresh)
    await maintenance.close()
  }
}
