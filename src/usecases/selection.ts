import type { Config } from '../domain/config.ts'
import { EnvError } from '../domain/errors.ts'
import type { Manifest } from '../domain/manifest.ts'
import type { RestoreRequest } from './plan-restore.ts'

/** Which services a restore is about, and which part of each. */
export type Selection = {
  readonly names: readonly string[]
  /** The manifest with those services alone. */
  readonly needed: Manifest
  /** Parts of a service: tables, or paths below a mount. Absent: all of it. */
  readonly only: ReadonlyMap<string, readonly string[]>
  /** Configured but not in the snapshot. */
  readonly leftAlone: readonly string[]
}

export function selectParts(
  config: Config,
  manifest: Manifest,
  request: Pick<RestoreRequest, 'only' | 'what'>,
): Selection {
  const rebuilt = new Set(config.rebuilds.map(({ name }) => name))
  // What is rebuilt now may have been stored then.
  const stored = new Set(manifest.services.map(({ name }) => name).filter((name) => !rebuilt.has(name)))
  const configured = new Set(config.services.map((service) => service.name))
  const { names, only } = request.only
    ? parseOnly(request.only)
    : { names: [...stored], only: new Map<string, string[]>() }
  const chosen = request.what === 'code' ? [] : names
  for (const name of chosen) {
    if (rebuilt.has(name)) {
      throw new EnvError('refused', `${name} is not restored: it is rebuilt by a command after each restore`, {
        hint: 'run that command yourself, or restore what it is built from',
      })
    }
    if (!stored.has(name)) {
      throw new EnvError('not-found', `the snapshot holds no service or mount named ${JSON.stringify(name)}`, {
        hint: `it holds: ${[...stored].join(', ') || 'none'}`,
      })
    }
    if (!configured.has(name)) {
      throw new EnvError('refused', `the snapshot holds ${name}, which the configuration does not name`, {
        hint: `add it to the configuration, or restore the others by name: --only ${others(chosen, name)}`,
      })
    }
  }
  return {
    names: chosen,
    needed: { ...manifest, services: manifest.services.filter((service) => chosen.includes(service.name)) },
    only,
    leftAlone: request.only ? [] : [...configured].filter((name) => !stored.has(name)),
  }
}

function others(names: readonly string[], name: string): string {
  return names.filter((each) => each !== name).join(',') || '<service>'
}

/** `app` is all of it, `app:albums` one table, `media:a/b` one path with what lies in it. */
function parseOnly(items: readonly string[]): { names: string[]; only: Map<string, string[]> } {
  const names = new Set<string>()
  const whole = new Set<string>()
  const only = new Map<string, string[]>()
  for (const item of items) {
    const [name = '', ...rest] = item.split(':')
    names.add(name)
    if (rest.length === 0) whole.add(name)
    else only.set(name, [...(only.get(name) ?? []), rest.join(':').replace(/^\/+|\/+$/g, '')])
  }
  for (const name of whole) only.delete(name)
  return { names: [...names], only }
}
