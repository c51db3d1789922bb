import type { Json } from '../../domain/canonical-json.ts'
import { EnvError } from '../../domain/errors.ts'
import { isOurs } from './names.ts'
import { type Document, namespaceNotFound, type Shell, serverCode } from './shell.ts'

/** A collection or a view, as it is made anew. Options and indexes in canonical extended JSON, in the server's own order. */
export type Definition = {
  readonly name: string
  readonly type: 'collection' | 'view'
  readonly options: Document
  /** Without the one of `_id`, ordered by name. */
  readonly indexes: readonly Document[]
}

/** The uuid stays when a collection is renamed, and no other ever has it. */
type Collection = { readonly definition: Definition; readonly uuid: string }

export type Found = {
  /** By name; views are not among them. */
  readonly live: ReadonlyMap<string, Collection>
  readonly views: ReadonlyMap<string, Definition>
  /** Uuid by name of what git-env made: staged, set aside, and its state. */
  readonly ours: ReadonlyMap<string, string>
  /** What cannot be brought back exactly, and why. */
  readonly unsupported: readonly string[]
}

/** Kept by the server itself, or the other half of what is listed beside it. */
const passedOver = /^system\.(views|profile|buckets\..*)$/

export async function findCollections(shell: Shell): Promise<Found> {
  const infos = await shell.list({ listCollections: 1, cursor: {} })
  const live = new Map<string, Collection>()
  const views = new Map<string, Definition>()
  const ours = new Map<string, string>()
  const unsupported: string[] = []
  for (const told of infos.toSorted((a, b) => (String(a['name']) < String(b['name']) ? -1 : 1))) {
    const name = String(told['name'])
    const uuid = uuidOf(told)
    if (isOurs(name)) ours.set(name, uuid)
    else if (passedOver.test(name)) continue
    else if (told['type'] === 'view') views.set(name, { name, type: 'view', options: optionsOf(told), indexes: [] })
    else {
      const problem = problemOf(name, told)
      if (problem === undefined) live.set(name, { definition: await definitionOf(shell, name, told), uuid })
      else unsupported.push(`${name}: ${problem}`)
    }
  }
  return { live, views, ours, unsupported }
}

export function refuseUnsupported({ unsupported }: Found, service: string): void {
  if (unsupported.length === 0) return
  throw new EnvError('refused', `${service}: cannot be brought back exactly: ${unsupported.join('; ')}`, {
    hint: 'keep them in a database of their own, which the configuration does not name',
  })
}

function problemOf(name: string, told: Document): string | undefined {
  if (told['type'] === 'timeseries') return 'a time series collection cannot be renamed'
  if (optionsOf(told)['encryptedFields'] !== undefined) return 'a collection with encrypted fields'
  return name.startsWith('system.') ? 'kept by the server itself' : undefined
}

function optionsOf(told: Document): Document {
  // Of old servers: it says nothing that can still be chosen.
  const { autoIndexId: _, ...options } = told['options'] as Document
  return options
}

function uuidOf(told: Document): string {
  return JSON.stringify((told['info'] as Document | undefined)?.['uuid'] ?? null)
}

async function definitionOf(shell: Shell, name: string, told: Document): Promise<Definition> {
  return { name, type: 'collection', options: optionsOf(told), indexes: await indexesOf(shell, name) }
}

async function indexesOf(shell: Shell, name: string): Promise<Document[]> {
  try {
    const all = await shell.list({ listIndexes: name, cursor: {} })
    return all
      .filter((index) => index['name'] !== '_id_' && index['clustered'] === undefined)
      .map(({ ns: _, ...index }) => index)
      .toSorted((a, b) => (String(a['name']) < String(b['name']) ? -1 : 1))
  } catch (error) {
    // Gone since it was listed.
    if (serverCode(error) === namespaceNotFound) return []
    throw error
  }
}

/** The definition of a collection of ours, under the name that it stands for; undefined when it is not there. */
export async function definitionAt(shell: Shell, physical: string, name: string): Promise<Definition | undefined> {
  const [told] = await shell.list({ listCollections: 1, filter: { name: physical }, cursor: {} })
  return told && { ...(await definitionOf(shell, physical, told)), name }
}

/** Equal when and only when the definitions are. */
export function textOf({ name, type, options, indexes }: Definition): string {
  return JSON.stringify({ name, type, options, indexes })
}

export function definitionIn(text: string): Definition {
  return JSON.parse(text) as Definition
}

/** Makes an empty one, without its indexes. */
export async function create(shell: Shell, name: string, { options }: Definition): Promise<void> {
  await shell.command({ create: name, ...options })
}

export async function createIndexes(shell: Shell, name: string, { indexes }: Definition): Promise<void> {
  if (indexes.length > 0) await shell.command({ createIndexes: name, indexes: indexes as readonly Json[] as Json[] })
}

/** Within the database: it keeps its uuid, and whatever has the other name stays. Throws with the code {@link namespaceExists} then. */
export async function rename(shell: Shell, from: string, to: string): Promise<void> {
  const { database } = shell.server
  await shell.command({ renameCollection: `${database}.${from}`, to: `${database}.${to}`, dropTarget: false }, 'admin')
}

export async function drop(shell: Shell, name: string): Promise<void> {
  try {
    await shell.command({ drop: name })
  } catch (error) {
    if (serverCode(error) !== namespaceNotFound) throw error
  }
}
