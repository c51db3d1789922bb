import { rm } from 'node:fs/promises'
import type { ServiceContext } from '../service-driver.ts'
import type { Link } from './link.ts'
import { part } from './management.ts'
import { type OwnNames, ownNames } from './names.ts'

/** Drops what a restore made in the vhost and beside it, by its names. */
export async function sweepVhost(link: Link, context: ServiceContext, id: string): Promise<void> {
  const names = ownNames(id, context.name, context.privateDirectory)
  const connection = await link.openIfThere()
  if (connection) {
    await connection.close()
    await dropOwn(link, names)
  }
  await rm(names.directory, { recursive: true, force: true })
}

async function dropOwn({ management, broker }: Link, { markQueue }: OwnNames): Promise<void> {
  const at = part(broker.vhost)
  await management.delete(`queues/${at}/${part(markQueue)}`)
  const exchanges = (await management.get<{ name: string }[]>(`exchanges/${at}`)) ?? []
  for (const { name } of exchanges) {
    if (name.startsWith(`${markQueue}.`)) await management.delete(`exchanges/${at}/${part(name)}`)
  }
}
