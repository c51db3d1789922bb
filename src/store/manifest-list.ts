import type { StorageBackend } from '../backends/storage-backend.ts'
import { EnvError } from '../domain/errors.ts'
import { decodeStoreFormat, type StoreFormat } from '../domain/store-format.ts'
import { digestOf, formatName, isDigest, manifestPrefix } from './object-names.ts'
import type { ManifestList } from './store.ts'

/** What a store says of itself. Refuses one that is absent, damaged, newer, or another than `expectedId`. */
export async function readFormat(backend: StorageBackend, expectedId: string | undefined): Promise<StoreFormat> {
  const format = decodeStoreFormat(await formatBytes(backend), backend.location)
  if (expectedId !== undefined && expectedId !== format.id) {
    throw new EnvError('refused', `the store at ${backend.location} is ${format.id}, not ${expectedId}`, {
      hint: 'look whether the right disk is mounted there, or point `store` in the configuration at the right place',
    })
  }
  return format
}

async function formatBytes(backend: StorageBackend): Promise<Uint8Array> {
  try {
    return await backend.get(formatName)
  } catch (error) {
    if (!(error instanceof EnvError) || error.code !== 'not-found') throw error
    throw new EnvError('not-found', `there is no store at ${backend.location}`, {
      hint: 'look whether its disk is mounted; `git env init` makes a new one',
    })
  }
}

/** Opens a store only to see which manifests are in it: needs none of what reads and writes packs, and loads none of it. */
export async function openManifestList(
  backend: StorageBackend,
  options: { readonly expectedId?: string } = {},
): Promise<ManifestList> {
  await readFormat(backend, options.expectedId)
  return manifestList(backend)
}

export function manifestList(backend: StorageBackend): ManifestList {
  return {
    manifests: async () => {
      const digests = new Set<string>()
      for await (const names of backend.names(manifestPrefix)) {
        for (const name of names) {
          const digest = digestOf(name, manifestPrefix)
          if (digest) digests.add(digest)
        }
      }
      return digests
    },
    hasManifest: async (digest) => isDigest(digest) && (await backend.stat(`${manifestPrefix}${digest}`)) !== undefined,
  }
}
