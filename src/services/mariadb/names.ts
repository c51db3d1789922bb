/**
 * Everything that git-env makes in a server carries the restore's id. Tables of a restore lie in the database itself, under names that nobody
 * else has: `git_env_<id>_new_<n>` staged, `git_env_<id>_old_<n>` set aside, `git_env_<id>_<state>` how far the swap is.
 * The gate and what belongs to it begin with a character that sorts after all names of people: locks are taken in the order of names.
 */
const last = '\uffee'
const ownName = /^\uffee?git_env_[0-9a-z]{26}_/

export function isOwnName(name: string): boolean {
  return ownName.test(name)
}

export function carriesId(name: string, id: string): boolean {
  return name.startsWith(prefixOf(id)) || name.startsWith(last + prefixOf(id))
}

function prefixOf(id: string): string {
  return `git_env_${id}_`
}

export function stagedName(id: string, number: number): string {
  return `${prefixOf(id)}new_${number}`
}

export function asideName(id: string, number: number): string {
  return `${prefixOf(id)}old_${number}`
}

/** A trigger or foreign key of a table that waits, until it may have its own name. */
export function temporaryName(table: string, kind: 'trigger' | 'key', number: number): string {
  return `${table}_${kind}_${number}`
}

/** How far a swap is, as the name of one table: it changes in the same statement that renames all others. */
export const markStates = ['staged', 'armed', 'swapped', 'done', 'returning', 'returned'] as const
export type MarkState = (typeof markStates)[number]

export function markName(id: string, state: MarkState): string {
  // The armed ones must be free while the rename waits at the gate, so they sort after it.
  return state === 'armed' || state === 'returning' ? `${last}${prefixOf(id)}z_${state}` : `${prefixOf(id)}${state}`
}

/** The database itself was made by this restore, and there is none yet as far as people are concerned. */
export function createdName(id: string): string {
  return `${prefixOf(id)}created`
}

/** All was set aside: the database is no more, but for what undo needs. */
export function goneName(id: string): string {
  return `${prefixOf(id)}gone`
}

export function gateName(id: string, part: 'gate' | 'gate_off' | 'end' | 'end_off'): string {
  // `end` sorts before `gate`: who holds that one holds all.
  return `${last}${prefixOf(id)}${part}`
}

/** An identifier in a statement. */
export function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``
}

/** A text in a statement, whatever it holds; sql_mode must not have NO_BACKSLASH_ESCAPES. */
export function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\0', '\\0')}'`
}

/** The stream of a table's rows. */
export function tableStream(table: string): string {
  return `table/${table}`
}

export const schemaStream = 'schema'

export function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}
