import { canonicalJson, type Json } from '../../domain/canonical-json.ts'
import type { Renaming } from './gate.ts'
import { asideName, isOwnName, type MarkState, stagedName } from './names.ts'
import type { Listed } from './read-schema.ts'
import { parseForeignKey, type Schema } from './schema.ts'
import type { StagedDatabase, StagedPart } from './staged.ts'

/** Which way a rename would lead from here. */
export type Direction = 'forward' | 'back'

export function directionFrom(mark: MarkState): Direction {
  return mark === 'staged' || mark === 'armed' || mark === 'returned' ? 'forward' : 'back'
}

/** What lies there now decides what is set aside: all that takes part and is not what it shall be. */
export function partsFor(staged: StagedDatabase, listed: readonly Listed[]): StagedPart[] {
  const live = listed.filter(({ name, kind }) => kind === 'table' && !isOwnName(name))
  const stays = new Set(staged.equal.map(({ name }) => name))
  const there = new Set(live.map(({ name }) => name))
  const parts = staged.parts
    .filter(({ comes, name }) => comes || there.has(name))
    .map((part) => ({ ...part, goes: there.has(part.name) }))
  let number = Math.max(-1, ...staged.parts.map((part) => part.number)) + 1
  const known = new Set(parts.map(({ name }) => name))
  for (const { name } of live) {
    if (stays.has(name) || known.has(name) || (staged.only !== null && !staged.only.includes(name))) continue
    parts.push({ name, number: number++, comes: false, goes: true })
  }
  return parts
}

export function renamingsOf(id: string, parts: readonly StagedPart[], direction: Direction): Renaming[] {
  return parts.flatMap(({ name, number, comes, goes }) => {
    const [waiting, aside] =
      direction === 'forward'
        ? [stagedName(id, number), asideName(id, number)]
        : [asideName(id, number), stagedName(id, number)]
    const [arrives, leaves] = direction === 'forward' ? [comes, goes] : [goes, comes]
    return [...(leaves ? [{ from: name, to: aside }] : []), ...(arrives ? [{ from: waiting, to: name }] : [])]
  })
}

/** All definitions as they shall be after the swap: the target's, or of some tables only the target's. */
export function wantedSchema(staged: StagedDatabase, target: Schema, before: Schema): Schema {
  const { only } = staged
  if (only === null) return target
  const pick = <T>(list: (schema: Schema) => readonly T[], nameOf: (each: T) => string): T[] => [
    ...list(before).filter((each) => !only.includes(nameOf(each))),
    ...list(target).filter((each) => only.includes(nameOf(each))),
  ]
  return {
    ...before,
    tables: pick(
      (schema) => schema.tables,
      ({ name }) => name,
    ),
    sequences: pick(
      (schema) => schema.sequences,
      ({ name }) => name,
    ),
    triggers: pick(
      (schema) => schema.triggers,
      ({ table }) => table,
    ),
  }
}

/** Tables that stay and have to be changed all the same: keys to tables that are swapped follow those away; other keys, other triggers. */
export function tablesToMend(parts: readonly StagedPart[], have: Schema, want: Schema): string[] {
  const swapped = new Set(parts.map(({ name }) => name))
  const triggersOf = (schema: Schema, table: string) =>
    canonicalJson(schema.triggers.filter((each) => each.table === table) as unknown as Json)
  return have.tables
    .filter(({ name }) => !swapped.has(name) && !isOwnName(name))
    .filter(({ name, foreignKeys }) => {
      const wanted = want.tables.find((table) => table.name === name)
      if (!wanted) return false
      const keys = [...foreignKeys, ...wanted.foreignKeys].map((line) => parseForeignKey(line).parent)
      if (keys.some((parent) => parent !== undefined && swapped.has(parent))) return true
      if (foreignKeys.join('\n') !== wanted.foreignKeys.join('\n')) return true
      return triggersOf(have, name) !== triggersOf(want, name)
    })
    .map(({ name }) => name)
}

/** What differs between what was wanted and what is there, by name; counters count on. */
export function differences(want: Schema, have: Schema, only: readonly string[] | null): string[] {
  const found: string[] = []
  const compare = (kind: string, list: (schema: Schema) => readonly { name: string }[]) => {
    const [wanted, there] = [want, have].map(
      (schema) => new Map(list(schema).map((each) => [each.name, canonicalJson(each as unknown as Json)])),
    )
    for (const [name, text] of wanted!) if (there!.get(name) !== text) found.push(`${kind} ${name}`)
  }
  const takesPart = (name: string) => only === null || only.includes(name)
  compare('table', ({ tables }) =>
    tables.filter(({ name }) => takesPart(name)).map((table) => ({ ...table, autoIncrement: null })),
  )
  compare('sequence', ({ sequences }) =>
    sequences.filter(({ name }) => takesPart(name)).map(({ name, create }) => ({ name, create })),
  )
  compare('trigger', ({ triggers }) => triggers.filter(({ table }) => takesPart(table)))
  if (only !== null) return found
  compare('view', ({ views }) => views)
  compare('routine', ({ routines }) => routines.map((each) => ({ ...each, name: `${each.kind} ${each.name}` })))
  compare('event', ({ events }) => events)
  return found
}

/** Whether the server locks no other table with this one: those that its triggers write to, those that its keys cascade into. */
export function isLockedAlone(name: string, { tables, triggers }: Schema): boolean {
  if (triggers.some(({ table }) => table === name)) return false
  return !tables.some(({ foreignKeys }) => foreignKeys.some((line) => parseForeignKey(line).parent === name))
}
