import { createHash } from 'node:crypto'
import { canonicalJson, type Json } from './canonical-json.ts'
import { chunkSizes, gearSeed } from './chunker.ts'
import { EnvError } from './errors.ts'

/** The store's `format` object: canonical JSON whose member `sha256` is that of the canonical JSON of all the others. */
export type StoreFormat = { readonly id: string; readonly createdAt: string }

export const storeVersion = 1
const maxFormatBytes = 64 * 1024

const chunker: Json = { algorithm: 'fastcdc-gear', seed: gearSeed, sizes: chunkSizes as unknown as Json }

export function encodeStoreFormat(format: StoreFormat): Buffer {
  const members = { version: storeVersion, id: format.id, createdAt: format.createdAt, chunker }
  return Buffer.from(`${canonicalJson({ ...members, sha256: digestOf(members) })}\n`, 'utf8')
}

/** Throws `damaged`, or `refused` when a newer git-env made the store. */
export function decodeStoreFormat(bytes: Uint8Array, location: string): StoreFormat {
  const members = parse(bytes, location)
  const { sha256, ...rest } = members
  if (sha256 !== digestOf(rest)) throw damaged(location)
  const version = rest['version']
  if (typeof version === 'number' && version > storeVersion) {
    throw new EnvError('refused', `the store ${location} has the format ${version}, made by a newer git-env`, {
      hint: `this git-env reads format ${storeVersion}: install a newer one`,
    })
  }
  const { id, createdAt } = rest
  if (version !== storeVersion || typeof id !== 'string' || !/^[0-9a-z]{26}$/i.test(id)) throw damaged(location)
  if (typeof createdAt !== 'string') throw damaged(location)
  if (canonicalJson(rest['chunker'] ?? null) !== canonicalJson(chunker)) {
    throw new EnvError('refused', `the store ${location} cuts chunks in a way that this git-env does not know`, {
      hint: 'use the git-env that made it, or a newer one',
    })
  }
  return { id, createdAt }
}

function parse(bytes: Uint8Array, location: string): { readonly [key: string]: Json | undefined } {
  if (bytes.length > maxFormatBytes) throw damaged(location)
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    const value = JSON.parse(text) as Json
    if (value === null || typeof value !== 'object' || Array.isArray(value)) throw damaged(location)
    if (`${canonicalJson(value)}\n` !== text) throw damaged(location)
    return value as { readonly [key: string]: Json | undefined }
  } catch (cause) {
    throw damaged(location, cause)
  }
}

function digestOf(members: Json): string {
  return createHash('sha256').update(canonicalJson(members)).digest('hex')
}

function damaged(location: string, cause?: unknown): EnvError {
  return new EnvError('damaged', `the file "format" of the store ${location} is damaged`, {
    hint: 'bring it back from a copy of the store: it is small and never changes',
    cause,
  })
}
