import { randomBytes } from 'node:crypto'

const own = /^git-env-([0-9a-z]{26})-(new|old)-[0-9a-f]{8}-(.+)$/

/** A server takes names of at most 255 bytes; 48 are ours. */
export const longestNameBytes = 255 - 48

export type OwnIndex = {
  /** Of the restore that made it. */
  readonly id: string
  /** The name under which people know it, when it is an alias of it. */
  readonly name: string
}

/** `new`: made for a restore; `old`: a clone of what stood at the name before. Both may be live later, by an alias of that name. */
export function makeOwnName(id: string, kind: 'new' | 'old', name: string): string {
  return `git-env-${id}-${kind}-${randomBytes(4).toString('hex')}-${name}`
}

/** undefined for an index that git-env did not make. */
export function parseOwnName(physical: string): OwnIndex | undefined {
  const [, id, , name] = own.exec(physical) ?? []
  return id === undefined || name === undefined ? undefined : { id, name }
}

export function isOurs(name: string): boolean {
  return name.startsWith('git-env-')
}

export function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}
