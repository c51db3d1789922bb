import { environmentOf } from '../domain/environment.ts'
import { EnvError } from '../domain/errors.ts'
import { shortId } from '../domain/snapshot-id.ts'
import type { Marker, Service } from '../services/service-driver.ts'
import type { ConfiguredWorkspace } from './workspace.ts'

/**
 * Whose data is it? Where branches share a database or a folder, only a marker tells whose data is there now: beside the data in its server,
 * for files in the Git common dir.
 */
export async function markerOf({ state }: ConfiguredWorkspace, service: Service): Promise<Marker | undefined> {
  if (service.resources.length === 0) return service.marker?.()
  return state.marker(service.resources[0]!)
}

export async function setMarker({ state }: ConfiguredWorkspace, service: Service, marker: Marker): Promise<void> {
  if (service.resources.length === 0) await service.setMarker?.(marker)
  else await state.writeMarker(service.resources[0]!, marker)
}

/** Nobody's data is filed under another environment's name: throws `refused` naming whose it is. */
export async function refuseOthersData(workspace: ConfiguredWorkspace, services: readonly Service[]): Promise<void> {
  const { environment } = workspace
  if (environment.ref === undefined) return
  const others = new Map<string, string[]>()
  for (const service of services) {
    const marker = await markerOf(workspace, service)
    if (!marker || marker.ref === environment.ref) continue
    others.set(marker.ref, [...(others.get(marker.ref) ?? []), service.name])
  }
  const [first] = others
  if (!first) return
  const [owner, names] = [environmentOf(first[0]).name, first[1].join(' and ')]
  throw new EnvError('refused', `the data in ${names} is that of ${owner}, and ${environment.name} is checked out`, {
    hint: `git switch ${owner} to snapshot it there; or git env snapshot --adopt, which says that it is ${environment.name}'s from now on`,
  })
}

/** A restore by another clone that was cut short, and that nobody has finished: throws `unfinished`. */
export async function refuseHalfRestored(workspace: ConfiguredWorkspace, services: readonly Service[]): Promise<void> {
  const own = new Set((await workspace.state.journals()).map((journal) => journal.id))
  for (const service of services) {
    const { restoring } = (await markerOf(workspace, service)) ?? {}
    if (restoring === undefined || own.has(restoring)) continue
    throw new EnvError(
      'unfinished',
      `restore ${shortId(restoring)} of ${service.name}, begun in another clone, was cut short`,
      {
        hint: 'run git env recover there; or, where that clone is gone, git env snapshot --adopt takes the data as it is',
      },
    )
  }
}

/** Says that the data is this environment's. */
export async function adopt(workspace: ConfiguredWorkspace, services: readonly Service[]): Promise<void> {
  const { ref } = workspace.environment
  if (ref === undefined) return
  for (const service of services) {
    const marker = await markerOf(workspace, service)
    if (marker?.ref !== ref || marker.restoring !== undefined) await setMarker(workspace, service, { ref })
  }
}
