/** Names of the store's objects; docs/format.md describes each. */
export const formatName = 'format'
export const packPrefix = 'packs/'
export const indexPrefix = 'index/'
export const manifestPrefix = 'manifests/'
export const markPrefix = 'marks/'

export function packName(id: string): string {
  return `${packPrefix}${id.slice(0, 2)}/${id}`
}

/** Marks a pack in which damage was found, so that no later snapshot relies on it. */
export function damagedMark(pack: string): string {
  return `${markPrefix}damaged-${pack}`
}

/** The pack that such a mark is about. */
export function markedPack(mark: string): string | undefined {
  const pack = mark.slice(`${markPrefix}damaged-`.length)
  return mark.startsWith(`${markPrefix}damaged-`) && isDigest(pack) ? pack : undefined
}

/** The SHA-256 that a pack's name holds; undefined when this is no pack. */
export function packIdOf(name: string): string | undefined {
  const match = /^packs\/([0-9a-f]{2})\/(\1[0-9a-f]{62})$/.exec(name)
  return match?.[2]
}

/** The SHA-256 that the name of an index object or a manifest ends in. */
export function digestOf(name: string, prefix: string): string | undefined {
  const digest = name.slice(prefix.length)
  return name.startsWith(prefix) && isDigest(digest) ? digest : undefined
}

export function isDigest(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-f]{64}$/.test(text)
}

/** How traces and messages show a SHA-256. */
export function short(digest: string): string {
  return `${digest.slice(0, 8)}…`
}
