import type { IndexDefinition } from './definitions.ts'

/** How many primary shards an index has. */
export function shardsOf({ settings }: IndexDefinition): number {
  return Number(settings['number_of_shards'] ?? 1) || 1
}
