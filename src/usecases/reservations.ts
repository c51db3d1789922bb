import { setTimeout as sleep } from 'node:timers/promises'
import { EnvError } from '../domain/errors.ts'
import type { Service } from '../services/service-driver.ts'
import { acquireActivity } from '../system/activity-lock.ts'
import { type ConfiguredWorkspace, closeAll, openServices } from './workspace.ts'

export type ReservedServices = {
  readonly services: readonly Service[]
  /** Lets others at them and closes them; may come twice. */
  close(): Promise<void>
}

/**
 * Opens services and mounts for this activity alone: no other git-env may capture or change the same data meanwhile, from whatever work tree, clone
 * or machine. Data in a server is reserved there; files are by a lock in the Git common dir. Throws `busy` naming who is there once `waitMs` is over.
 */
export async function openReserved(
  workspace: ConfiguredWorkspace,
  names: readonly string[] | undefined,
  options: { readonly command: string; readonly waitMs?: number },
): Promise<ReservedServices> {
  const services = await openServices(workspace, names)
  const reservations: { release(): Promise<void> }[] = []
  const close = async () => {
    await Promise.allSettled(reservations.splice(0).map((reservation) => reservation.release()))
    await closeAll(services)
  }
  try {
    for (const service of services) {
      const reserve = () => reserveOne(workspace, service, options.command)
      reservations.push(...(await patiently(reserve, options.waitMs ?? 0)))
    }
    return { services, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function reserveOne({ state, ports }: ConfiguredWorkspace, service: Service, command: string) {
  if (service.reserve) return [await service.reserve()]
  return Promise.all(
    service.resources.map((resource) =>
      acquireActivity(state.resourceFile(resource), command, ports.now(), `has ${resource}`),
    ),
  )
}

/** A process that has just ended, or is about to, may have it for a moment more. */
async function patiently<T>(work: () => Promise<T>, waitMs: number): Promise<T> {
  const deadline = performance.now() + waitMs
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof EnvError) || error.code !== 'busy' || performance.now() > deadline) throw error
    }
    await sleep(100)
  }
}
