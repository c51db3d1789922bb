import { mkdtemp, realpath, rm } from 'node:fs/promises'
import path from 'node:path'
import { EnvError } from '../domain/errors.ts'
import type { ServiceRecord, StreamRecord } from '../domain/manifest.ts'

/**
 * An export is a tar archive: `git-env/export.json` (which file holds which stream), `git-env/manifest.json`, `git-env/<service>.<stream>`
 * for the listings of folders, and below `<service>/` the data as files that the service's own tools read.
 */
export const archiveVersion = 1

export type ArchiveIndex = {
  readonly version: number
  readonly streams: readonly { readonly service: string; readonly stream: string; readonly path: string }[]
}

/** Where in the archive the listing of a folder stands. */
export function listingName(record: ServiceRecord, stream: StreamRecord): string {
  return `git-env/${record.name}.${stream.name}`
}

/** A folder beside what is written or read, gone afterwards. */
export async function withTemporary<T>(parent: string, work: (directory: string) => Promise<T>): Promise<T> {
  const make = async () => mkdtemp(path.join(await realpath(parent), '.git-env-export-'))
  const directory = await make().catch((cause: unknown) => {
    throw new EnvError('unavailable', `${parent} cannot be written to`, { cause })
  })
  try {
    return await work(directory)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** A path (byte string) as a tar archive names it: text, and where it is not UTF-8 every byte beyond ASCII as `%ff`. */
export function archivePath(path: string): string {
  const bytes = Buffer.from(path, 'latin1')
  const text = bytes.toString('utf8')
  if (Buffer.from(text, 'utf8').equals(bytes)) return text
  return path.replace(/[\x80-\xff]/g, (character) => `%${character.charCodeAt(0).toString(16)}`)
}
