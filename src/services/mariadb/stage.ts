import { statfs } from 'node:fs/promises'
import { canonicalJson, type Json } from '../../domain/canonical-json.ts'
import { EnvError } from '../../domain/errors.ts'
import { formatBytes } from '../../domain/format-text.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import type { StageOptions } from '../service-driver.ts'
import { type Database, findDatabase, placeOf } from './database.ts'
import { asEvidence } from './evidence.ts'
import { prepareKeys, prepareTriggers } from './keys.ts'
import { dropAll, makeTable } from './marks.ts'
import { createdName, markName, quoted, stagedName } from './names.ts'
import { emptySchema, loadSchema, tablesOf } from './records.ts'
import { keepsRows, type Schema, type TableDefinition } from './schema.ts'
import { atLeast, numbersOf, type ServerFacts } from './server.ts'
import type { Session } from './session.ts'
import type { EqualTable, StagedDatabase, StagedPart } from './staged.ts'
import { accountOf, stageTables, translate } from './stager.ts'
import { SwapFiles } from './swap-files.ts'

const idPattern = /^[0-9a-z]{26}$/

export type Staging = {
  readonly database: Database
  readonly target: ServiceRecord
  readonly live: ServiceRecord
  readonly options: StageOptions
}

/** Puts beside the live tables those that differ from the snapshot, loaded, compared and durable. */
export async function stageDatabase(staging: Staging): Promise<StagedDatabase> {
  const { database, target, live, options } = staging
  if (!idPattern.test(options.id)) throw new EnvError('bug', `${JSON.stringify(options.id)} is no id of a restore`)
  const { session, facts, state } = await findDatabase(database)
  try {
    refuseForeign(database, target, facts)
    await dropAll(session, database.name, options.id)
    const schema = target.presence === 'absent' ? emptySchema : await loadSchema(options.source, target)
    if (state === 'not there') await makeDatabase(database, session, facts, schema, options.id)
    await session.use(database.name)
    const plan = await planParts(staging, schema)
    refuseDefiners(staging, facts, schema, plan)
    await requireRoom(database, session, target, plan.parts)
    await stageParts(staging, session, facts, schema, plan.parts)
    const evidence = asEvidence(live.facts['evidence'])
    const stays = new Set(plan.equal.map(({ name }) => name))
    const kept = evidence.tables.filter(([name]) => stays.has(name))
    await new SwapFiles(database.context.privateDirectory, options.id).write('target', schema)
    await makeTable(session, markName(options.id, 'staged'))
    database.context.trace(`${database.context.name}: staged`)
    return {
      id: options.id,
      presence: target.presence,
      only: options.only ?? null,
      parts: plan.parts,
      equal: plan.equal,
      evidence: { ...evidence, tables: kept },
    }
  } catch (error) {
    await dropAll(session, database.name, options.id).catch(() => {})
    throw translate({ database, facts }, error)
  } finally {
    await session.close()
  }
}

/** The definitions and rows of one go into no other product, and not into an older one. */
function refuseForeign({ context }: Database, target: ServiceRecord, facts: ServerFacts): void {
  const [product, version] = Object.entries(target.versions)[0] ?? []
  if (product === undefined || version === undefined) return
  if (product !== facts.product.toLowerCase()) {
    throw new EnvError(
      'refused',
      `${context.name}: the snapshot is of ${nameOf(product)} ${version}, and this is ${facts.product} ${facts.version}`,
      {
        hint: 'git env export gives the data as SQL, to be adapted by hand',
      },
    )
  }
  const [major, minor] = numbersOf(version)
  if (atLeast(facts, major, minor)) return
  throw new EnvError(
    'refused',
    `${context.name}: the snapshot is of ${nameOf(product)} ${version}, and this server is older: ${facts.version}`,
    {
      hint: `restore it with ${nameOf(product)} ${major}.${minor} or newer`,
    },
  )
}

function nameOf(product: string): string {
  return product === 'mysql' ? 'MySQL' : 'MariaDB'
}

async function makeDatabase(database: Database, session: Session, facts: ServerFacts, schema: Schema, id: string) {
  const { charset, collation } = schema.database
  const settings = charset === '' ? '' : ` CHARACTER SET ${charset} COLLATE ${collation}`
  const statement = `CREATE DATABASE ${quoted(database.name)}${settings}`
  await session.execute(statement).catch((error) => {
    const refused = translate({ database, facts }, error)
    if (!(refused instanceof EnvError)) throw error
    throw new EnvError(refused.code, `${placeOf(database)} is not there, and may not be made by us`, {
      cause: error,
      hint: `${statement}; or give the right to`,
    })
  })
  await session.use(database.name)
  await makeTable(session, createdName(id))
}

const definer = /^CREATE\s[\s\S]{0,200}?\bDEFINER\s*=\s*`((?:[^`]|``)+)`@`((?:[^`]|``)*)`/i

/**
 * What belongs to another user takes a right of its own to be made: said before anything is loaded. So does what a restore takes away, which undo
 * would have to make again.
 */
function refuseDefiners(
  { database, options }: Staging,
  facts: ServerFacts,
  schema: Schema,
  { parts, live }: { readonly parts: readonly StagedPart[]; readonly live: Schema },
): void {
  if (facts.definesForOthers) return
  const replaced = new Set(parts.map(({ name }) => name))
  const needed = (target: Schema, there: Schema) => {
    const known = new Set(codeIn(there).map(({ create }) => create))
    const code = options.only === undefined ? codeIn(target).filter(({ create }) => !known.has(create)) : []
    const triggers = new Set(there.triggers.map(({ create }) => create))
    const isMade = ({ table, create }: Schema['triggers'][number]) =>
      replaced.has(table) ||
      (options.only === undefined && !(triggers.has(create) && there.tables.some(({ name }) => name === table)))
    return [...code, ...target.triggers.filter(isMade)].find(
      ({ create }) => (ownerIn(create) ?? facts.user) !== facts.user,
    )
  }
  const made = needed(schema, live)
  const lost = needed(live, schema)
  const foreign = made ?? lost
  if (!foreign) return
  const owner = ownerIn(foreign.create)!
  const why = made
    ? `and may not be made by ${facts.user}`
    : `and this restore takes it away: undo could not make it again as ${facts.user}`
  throw new EnvError('refused', `${database.context.name}: ${foreign.name} belongs to ${owner}, ${why}`, {
    hint: `GRANT SET USER ON *.* TO ${accountOf(facts.user)}; or ${made ? 'configure the user that it belongs to' : `drop ${foreign.name} yourself`}`,
  })
}

function codeIn({ views, routines, events }: Schema) {
  return [...views, ...routines, ...events]
}

/** `user@host` of a definition's DEFINER. */
function ownerIn(create: string): string | undefined {
  const [, user, host] = definer.exec(create) ?? []
  return user === undefined ? undefined : `${user}@${host}`
}

/** What has to be swapped, and what is already what it shall be. */
async function planParts(
  { target, live, options }: Staging,
  schema: Schema,
): Promise<{ parts: StagedPart[]; equal: EqualTable[]; live: Schema }> {
  const liveSchema = live.presence === 'absent' ? emptySchema : await loadSchema(options.source, live)
  const liveTables = tablesOf(live)
  const targets = tablesOf(target)
  refuseUnknown(options.only, [schema, liveSchema], live.name)
  const takesPart = (name: string) => options.only === undefined || options.only.includes(name)
  const parts: StagedPart[] = []
  const equal: EqualTable[] = []
  for (const definition of schema.tables.filter(({ name }) => takesPart(name))) {
    const { name } = definition
    const there = liveSchema.tables.find((table) => table.name === name)
    const wanted = targets.get(name)
    if (!wanted) throw new EnvError('damaged', `${target.name}: the snapshot has no rows of ${name}`)
    const same =
      there !== undefined &&
      sameTable(there, definition) &&
      liveTables.get(name)?.content.sha256 === wanted.content.sha256
    if (same && keepsRows(definition.engine)) equal.push({ name, ...wanted })
    else parts.push({ name, number: parts.length, comes: true, goes: false })
  }
  return { parts, equal, live: liveSchema }
}

/** Foreign keys are compared and mended apart. */
function sameTable(a: TableDefinition, b: TableDefinition): boolean {
  const essence = (table: TableDefinition) => canonicalJson({ ...table, foreignKeys: [] } as unknown as Json)
  return essence(a) === essence(b)
}

function refuseUnknown(only: readonly string[] | undefined, schemas: readonly Schema[], service: string): void {
  const known = new Set(schemas.flatMap(({ tables, sequences }) => [...tables, ...sequences].map(({ name }) => name)))
  const unknown = only?.find((name) => !known.has(name))
  if (unknown === undefined) return
  throw new EnvError('not-found', `${service}: there is no table ${JSON.stringify(unknown)} in the snapshot or now`)
}

async function stageParts(
  { database, target, options }: Staging,
  session: Session,
  facts: ServerFacts,
  schema: Schema,
  parts: readonly StagedPart[],
): Promise<void> {
  const { id, source, progress } = options
  const rows = tablesOf(target)
  const tables = parts.map(({ name, number }) => ({
    definition: tableOf(schema, name),
    number,
    target: rows.get(name)!,
  }))
  await session.execute('SET SESSION foreign_key_checks = 0')
  await stageTables({ database, facts, id, source, progress, exact: isExact(target, facts) }, tables)
  await prepareParts(session, facts, id, schema, parts, stagedName)
}

/** Gives tables that wait their keys and triggers, under names of the moment. */
export async function prepareParts(
  session: Session,
  facts: ServerFacts,
  id: string,
  schema: Schema,
  parts: readonly StagedPart[],
  nameOfWaiting: (id: string, number: number) => string,
): Promise<void> {
  const waiting = new Map(parts.map(({ name, number }) => [name, nameOfWaiting(id, number)]))
  for (const { name, number } of parts) {
    const definition = schema.tables.find((table) => table.name === name)
    if (!definition) continue
    const actual = nameOfWaiting(id, number)
    await prepareKeys(session, facts, actual, definition.foreignKeys, (parent) => waiting.get(parent))
    await prepareTriggers(
      session,
      actual,
      schema.triggers.filter(({ table }) => table === name),
    )
  }
}

export function tableOf(schema: Schema, name: string): TableDefinition {
  const definition = schema.tables.find((table) => table.name === name)
  if (!definition) throw new EnvError('damaged', `the snapshot has no definition of ${name}`)
  return definition
}

function isExact(target: Pick<ServiceRecord, 'versions'>, facts: ServerFacts): boolean {
  return Object.values(target.versions)[0] === facts.version
}

/** Where the server's data folder is on this machine, its disk is asked before anything is loaded. */
async function requireRoom(database: Database, session: Session, target: ServiceRecord, parts: readonly StagedPart[]) {
  const { host, socketPath, run } = database.endpoint
  if (run || (socketPath === undefined && !/^(localhost|127\.|::1$)/.test(host))) return
  const rows = tablesOf(target)
  const bytes = parts.reduce((sum, { name }) => sum + (rows.get(name)?.content.bytes ?? 0), 0)
  const folder = (await session.first('SELECT @@datadir folder'))?.['folder'] ?? ''
  const disk = await statfs(folder).catch(() => undefined)
  if (!disk || disk.bavail * disk.bsize > bytes * 2) return
  throw new EnvError(
    'unavailable',
    `${folder} has ${formatBytes(disk.bavail * disk.bsize)} free, and about ${formatBytes(bytes * 2)} are needed to stage ${database.name}`,
    { hint: 'make room on that disk; nothing was changed' },
  )
}
