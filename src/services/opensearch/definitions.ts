import { EnvError } from '../../domain/errors.ts'
import type { Client } from './client.ts'
import { asObject, at, type Exact, type ExactObject, isList, stableText, without } from './exact-json.ts'
import { longestNameBytes, parseOwnName } from './names.ts'
import type { Patterns } from './patterns.ts'

/** An index as people know it: `name` is its own name or, once it was restored, an alias of an index of ours. */
export type IndexDefinition = {
  readonly name: string
  readonly settings: ExactObject
  readonly mappings: ExactObject
  readonly aliases: ExactObject
}

export type LiveIndex = {
  readonly name: string
  /** The index that is there. */
  readonly physical: string
  readonly uuid: string
  readonly definition: IndexDefinition
  readonly isClosed: boolean
}

export type Found = {
  /** By name. */
  readonly live: ReadonlyMap<string, LiveIndex>
  /** Every index of ours in the server, of whatever project. */
  readonly ours: ReadonlyMap<string, { readonly uuid: string; readonly aliases: ReadonlySet<string> }>
  /** What cannot be captured or restored exactly, for people. */
  readonly unsupported: readonly string[]
}

/** What the server itself says of an index, and of which it makes its own for another one. */
const volatile = [
  ['uuid'],
  ['version'],
  ['creation_date'],
  ['creation_date_string'],
  ['provided_name'],
  ['resize'],
  ['verified_before_close'],
  // Set when a disk is full, and taken away when it is not.
  ['blocks', 'read_only_allow_delete'],
  ['routing', 'allocation', 'initial_recovery'],
] as const

export async function findIndices(client: Client): Promise<Found> {
  const { indices } = client.server
  const expressions = [...indices.texts, 'git-env-*'].map(encodeURIComponent).join(',')
  const answer = asObject(
    await client.json('GET', `/${expressions}`, {
      query: { expand_wildcards: 'open,closed,hidden', ignore_unavailable: 'true', allow_no_indices: 'true' },
    }),
  )
  const live = new Map<string, LiveIndex>()
  const ours = new Map<string, { uuid: string; aliases: Set<string> }>()
  const unsupported: string[] = []
  for (const [physical, told] of Object.entries(answer)) {
    const own = parseOwnName(physical)
    const aliases = asObject(at(told, 'aliases'))
    const uuid = String(at(told, 'settings', 'index', 'uuid') ?? '')
    if (own) ours.set(physical, { uuid, aliases: new Set(Object.keys(aliases)) })
    const name = own ? own.name : physical
    if (own && aliases[name] === undefined) continue
    if (!isNamed(indices, name, Object.keys(aliases))) continue
    const definition = definitionOf(name, told!, own === undefined ? aliases : without(aliases, [name]))
    const reason = whyNot(definition, told!)
    if (reason !== undefined) unsupported.push(`${name} ${reason}`)
    live.set(name, { name, physical, uuid, definition, isClosed: isClosed(told!) })
  }
  return { live: new Map([...live].sort(([a], [b]) => (a < b ? -1 : 1))), ours, unsupported }
}

/** An index whose name is given, or behind an alias that is given as a whole. */
function isNamed(patterns: Patterns, name: string, aliases: readonly string[]): boolean {
  return patterns.matches(name) || aliases.some((alias) => patterns.names(alias))
}

function definitionOf(name: string, told: Exact, aliases: ExactObject): IndexDefinition {
  let settings = asObject(at(told, 'settings', 'index'))
  for (const path of volatile) settings = without(settings, path)
  const expand = settings['auto_expand_replicas']
  // Their number follows the number of nodes.
  if (expand !== undefined && expand !== 'false') settings = without(settings, ['number_of_replicas'])
  return { name, settings, mappings: asObject(at(told, 'mappings')), aliases }
}

function whyNot({ name, settings, mappings }: IndexDefinition, told: Exact): string | undefined {
  const source = asObject(mappings['_source'])
  const isGiven = (list: Exact | undefined) => isList(list) && list.length > 0
  const modes = [at(settings, 'mapping', 'source', 'mode'), source['mode']]
  if (source['enabled'] === false || modes.includes('disabled')) return 'keeps no _source'
  if (isGiven(source['includes']) || isGiven(source['excludes'])) return 'keeps only a part of _source'
  if (modes.includes('synthetic') || at(settings, 'derived_source', 'enabled') === 'true') {
    return 'makes up its _source from fields'
  }
  if (settings['mode'] === 'time_series' || settings['mode'] === 'logsdb') return `is of the mode ${settings['mode']}`
  if (at(told, 'data_stream') !== undefined) return 'belongs to a data stream'
  if (isClosed(told)) return 'is closed'
  const blocks = asObject(settings['blocks'])
  if (['read', 'read_only', 'metadata'].some((kind) => blocks[kind] === 'true'))
    return 'is blocked against more than writing'
  if (Buffer.byteLength(name) > longestNameBytes) return `has a name of more than ${longestNameBytes} bytes`
  return undefined
}

function isClosed(told: Exact): boolean {
  return at(told, 'settings', 'index', 'verified_before_close') === 'true'
}

export function refuseUnsupported({ unsupported }: Found, service: string): void {
  const [first] = unsupported
  if (first === undefined) return
  throw new EnvError('refused', `${service}: ${unsupported.join('; ')}: it could not be brought back as it is`, {
    hint: 'name only other indices in the configuration; such an index is rebuilt by the application',
  })
}

export function isBlocked({ settings }: IndexDefinition): boolean {
  return at(settings, 'blocks', 'write') === 'true'
}

export function withoutBlock(definition: IndexDefinition): IndexDefinition {
  return { ...definition, settings: without(definition.settings, ['blocks', 'write']) }
}

export function textOf(definition: IndexDefinition): string {
  return stableText(definition as unknown as ExactObject)
}
