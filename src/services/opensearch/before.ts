import type { ContentSink } from '../../domain/content.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { ServiceContext } from '../service-driver.ts'
import type { Client } from './client.ts'
import type { Found, IndexDefinition } from './definitions.ts'
import { evidenceOf } from './indices.ts'
import { findOthers } from './others.ts'
import type { Product } from './product.ts'
import { factsOf, presentRecord, storedOf } from './record.ts'
import { shardsOf } from './shards.ts'
import { definitionIn, type Goes, othersIn, type StagedIndices } from './staged.ts'
import { type Stored, storeNow } from './store-documents.ts'

export type BeforeOptions = {
  readonly client: Client
  readonly product: Product
  readonly context: ServiceContext
  readonly staged: StagedIndices
  readonly found: Found
  readonly asideOf: (goes: Goes) => string
  readonly sink: ContentSink
  readonly safety: ServiceRecord
}

/**
 * What was there at the swap: what was set aside, from there; what stayed, from the safety snapshot, since it was seen that nobody had written to
 * it; what took no part and was written to since, as it is now.
 */
export async function recordBefore(options: BeforeOptions): Promise<ServiceRecord> {
  const { client, product, context, staged, found, sink, safety } = options
  const reading = { client, product, sink, directory: context.privateDirectory, progress: () => {} }
  const indices: IndexDefinition[] = []
  const stored = new Map<string, Stored>()
  for (const goes of staged.goes ?? []) {
    const definition = definitionIn(goes.definition)
    indices.push(definition)
    const shards = shardsOf(definition)
    stored.set(goes.name, await storeNow(reading, options.asideOf(goes), { name: goes.name, shards }))
  }
  const kept = storedOf(safety)
  for (const { name, definition, content, rows } of staged.equal) {
    indices.push(definitionIn(definition))
    stored.set(name, { content, rows })
  }
  const { only } = staged
  const apart = only === null ? [] : [...found.live.values()].filter(({ name }) => !only.includes(name))
  const evidence = await evidenceOf(client, apart)
  for (const { name, physical, definition } of apart) {
    indices.push(definition)
    const same = evidence.get(physical) === factsOf(safety).evidence[name] ? kept.get(name) : undefined
    stored.set(name, same ?? (await storeNow(reading, physical, { name, shards: shardsOf(definition) })))
  }
  const { othersBefore } = staged
  const others = othersBefore === undefined ? await findOthers(client) : othersIn(othersBefore)
  return presentRecord(
    { name: context.name, type: client.server.type, level: safety.level },
    { indices, others },
    stored,
    { sink, versions: { [product.title.toLowerCase()]: product.version }, facts: safety.facts },
  )
}
