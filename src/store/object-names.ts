/** Names of the store's objects; docs/format.md describes each. */
export const formatName = 'format'
export const packPrefix = 'packs/'
export const indexPrefix = 'index/'
export const manifestPrefix = 'manifests/'

export function packName(id: string): string {
  return `${packPrefix}${id.slice(0, 2)}/${id}`
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
