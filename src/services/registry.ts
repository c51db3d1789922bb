import { readdirSync } from 'node:fs'
import { EnvError } from '../domain/errors.ts'
import type { ServiceDriver } from './service-driver.ts'

const notDrivers = new Set(['service-driver', 'registry'])
/** `.ts` when run from the source, `.js` when built. */
const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'))

/** The types that a configuration may name: one for each driver file in this folder, ordered. */
export function driverTypes(): string[] {
  return readdirSync(new URL('.', import.meta.url), { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(extension) && !entry.name.endsWith('.d.ts'))
    .map((entry) => entry.name.slice(0, -extension.length))
    .filter((type) => !notDrivers.has(type))
    .sort()
}

/** Loads a driver on first use; `usage` for a type that has no driver. */
export async function loadDriver(type: string): Promise<ServiceDriver> {
  const types = driverTypes()
  if (!types.includes(type)) {
    throw new EnvError('usage', `unknown service type ${JSON.stringify(type)}`, { hint: `one of: ${types.join(', ')}` })
  }
  const module: { default: ServiceDriver } = await import(new URL(`./${type}${extension}`, import.meta.url).href)
  return module.default
}
