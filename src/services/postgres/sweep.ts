import { rm } from 'node:fs/promises'
import type { ServiceContext } from '../service-driver.ts'
import { databaseOids, dropOwn } from './databases.ts'
import type { Link } from './link.ts'
import { ownNames } from './names.ts'

/** Drops what a restore made in the server and beside it, by its recorded names. */
export async function sweepDatabase(link: Link, context: ServiceContext, id: string): Promise<void> {
  const { fresh, old, directory } = ownNames(id, context.name, context.privateDirectory)
  await rm(directory, { recursive: true, force: true })
  const session = (await link.openMaintenance().catch(() => undefined)) ?? (await link.openIfThere())
  if (!session) return
  for (const name of (await databaseOids(session, [fresh, old])).keys()) await dropOwn(session, name)
}
