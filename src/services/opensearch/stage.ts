import type { ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { ServiceContext, StageOptions } from '../service-driver.ts'
import type { Client } from './client.ts'
import { findIndices, type IndexDefinition, textOf } from './definitions.ts'
import { decodeDocuments } from './documents.ts'
import { asObject } from './exact-json.ts'
import { nameLists } from './indices.ts'
import { loadDocuments } from './load.ts'
import { finishIndex, makeIndex } from './make-index.ts'
import { makeOwnName } from './names.ts'
import { othersText } from './others.ts'
import { findProduct, type Product } from './product.ts'
import { factsOf, loadDefinitions, storedOf } from './record.ts'
import { shardsOf } from './shards.ts'
import type { Equal, Part, StagedIndices } from './staged.ts'
import { digestOnly, type Stored, storeNow } from './store-documents.ts'

export type StageRequest = {
  readonly target: ServiceRecord
  readonly live: ServiceRecord
  readonly options: StageOptions
}

/** Makes every index that differs beside the live ones, fills it and reads it back. Nobody knows their names until the swap. */
export async function stageIndices(
  client: Client,
  context: ServiceContext,
  { target, live, options }: StageRequest,
): Promise<StagedIndices> {
  const { source, id, only, progress } = options
  const product = await findProduct(client)
  const [wanted, there] = [await loadDefinitions(source, target), await loadDefinitions(source, live)]
  const isMeant = (name: string) => only === undefined || only.includes(name)
  const indices = wanted.indices.filter(({ name }) => isMeant(name))
  await refuseTakenAliases(client, indices)
  const stored = storedOf(target)
  const loader = { client, product, context, source, id, progress }
  const same = equalIndices(indices, there.indices, stored, live)
  const parts: Part[] = []
  for (const definition of indices) {
    if (same.some(({ name }) => name === definition.name)) continue
    parts.push(await stageIndex(loader, definition, storedFor(context.name, stored, definition.name)))
  }
  context.trace(`${context.name}: staged`)
  return {
    way: 'rename',
    warnings: warningsFor(target, product, parts),
    id,
    only: only ?? null,
    parts,
    equal: same,
    others: only === undefined ? othersText(wanted.others) : null,
  }
}

function storedFor(service: string, stored: ReadonlyMap<string, Stored>, name: string): Stored {
  const found = stored.get(name)
  if (found) return found
  throw new EnvError('damaged', `${service}: the snapshot has no documents of ${name}`)
}

function equalIndices(
  indices: readonly IndexDefinition[],
  there: readonly IndexDefinition[],
  stored: ReadonlyMap<string, Stored>,
  live: ServiceRecord,
): Equal[] {
  const now = storedOf(live)
  const { evidence } = factsOf(live)
  return indices.flatMap((definition) => {
    const { name } = definition
    const [have, want, text] = [now.get(name), stored.get(name), textOf(definition)]
    const present = there.find((each) => each.name === name)
    const told = evidence[name]
    if (!have || !want || !present || told === undefined) return []
    if (have.content.sha256 !== want.content.sha256 || textOf(present) !== text) return []
    return [{ name, evidence: told, definition: text, content: want.content, rows: want.rows }]
  })
}

export type Loader = {
  readonly client: Client
  readonly product: Product
  readonly context: ServiceContext
  readonly source: ContentSource
  readonly id: string
  readonly progress: (bytes: number) => void
}

export async function stageIndex(loader: Loader, definition: IndexDefinition, stored: Stored): Promise<Part> {
  const { client, product, context, source, id, progress } = loader
  const { name } = definition
  const physical = makeOwnName(id, 'new', name)
  const uuid = await makeIndex(client, physical, definition)
  context.trace(`${context.name}: ${physical} made`)
  await loadDocuments(client, physical, decodeDocuments(source.read(stored.content)), progress)
  const reading = { client, product, sink: digestOnly, directory: context.privateDirectory, progress: () => {} }
  const made = await storeNow(reading, physical, { name, shards: shardsOf(definition) })
  if (made.rows !== stored.rows || made.content.sha256 !== stored.content.sha256) {
    throw new EnvError('damaged', `${context.name}: what was loaded for ${name} is not what the snapshot holds`, {
      hint: 'nothing was changed; was the snapshot taken from another version or product?',
    })
  }
  await finishIndex(client, physical, definition)
  context.trace(`${context.name}: ${physical} filled`)
  return { name, physical, uuid, definition: textOf(definition) }
}

/** An alias cannot have the name of an index: found now, and not in the swap. */
async function refuseTakenAliases(client: Client, indices: readonly IndexDefinition[]): Promise<void> {
  const aliases = indices.flatMap((definition) => Object.keys(definition.aliases))
  const { live } = await findIndices(client)
  for (const list of nameLists(aliases)) {
    const query = { ignore_unavailable: 'true', expand_wildcards: 'open,closed,hidden' }
    const found = Object.keys(asObject(await client.json('GET', `/${list}`, { query })))
    const taken = found.find((name) => aliases.includes(name) && live.get(name)?.physical !== name)
    if (taken === undefined) continue
    throw new EnvError('refused', `${client.server.name}: the alias ${taken} cannot be made: an index has this name`, {
      hint: 'remove or rename that index, or name it in the configuration',
    })
  }
}

function warningsFor(target: ServiceRecord, product: Product, parts: readonly Part[]): string[] {
  const [from] = Object.keys(target.versions)
  const warnings: string[] = []
  if (from !== undefined && from !== product.title.toLowerCase()) {
    warnings.push(`the snapshot is of ${from}, the server is ${product.title}`)
  }
  if (parts.length > 0) {
    const names = parts.map(({ name }) => name).join(', ')
    warnings.push(
      `${names}: from now on an alias of an index that git-env made; a request that deletes it must name that index`,
    )
  }
  return warnings
}
