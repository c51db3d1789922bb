import { hash } from 'node:crypto'

/** An environment is a branch: its short name, and a key that is safe as a file name and as part of a database name. */
export type Environment = {
  /** Full ref name; undefined for a detached HEAD. */
  readonly ref: string | undefined
  readonly name: string
  readonly key: string
}

/** The name of the environment of a detached HEAD. */
const detachedName = 'detached'

export function environmentOf(ref: string | undefined): Environment {
  const name = ref === undefined ? detachedName : ref.replace(/^refs\/heads\//, '')
  return { ref, name, key: environmentKey(ref ?? 'HEAD') }
}

/** `[a-z0-9-]`, at most 30 characters of the name, then 8 hex digits of the SHA-256 of the full ref name: distinct refs have distinct keys. */
export function environmentKey(ref: string): string {
  const slug = ref
    .replace(/^refs\/heads\//, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 30)
    .replace(/-+$/, '')
  return `${slug || 'env'}-${hash('sha256', ref).slice(0, 8)}`
}
