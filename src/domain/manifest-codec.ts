import { createHash } from 'node:crypto'
import * as v from 'valibot'
import { canonicalJson, type Json } from './canonical-json.ts'
import { maxInlineChunks } from './content.ts'
import { EnvError } from './errors.ts'
import type { Manifest } from './manifest.ts'

const manifestVersion = 1
const maxManifestBytes = 64 * 1024 * 1024
const maxDepth = 64

const digest = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))
const objectId = v.pipe(v.string(), v.regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/))
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const time = v.pipe(v.string(), v.isoTimestamp())
const level = v.picklist(['frozen', 'point', 'live'])
const digests = v.pipe(v.array(digest), v.maxLength(4096))
const json = v.custom<Json>((value) => value !== undefined)

const content = v.union([
  v.strictObject({
    bytes: count,
    sha256: digest,
    chunks: v.pipe(digests, v.maxLength(maxInlineChunks)),
  }),
  v.strictObject({ bytes: count, sha256: digest, list: digests }),
])

const stream = v.strictObject({ name: v.string(), kind: v.picklist(['bytes', 'tree']), content })

const object = v.strictObject({ name: v.string(), kind: v.string(), rows: count, digest: v.string() })

const ordered = (items: readonly { readonly name: string }[]) =>
  items.every((item, i) => i === 0 || items[i - 1]!.name < item.name)

const service = v.strictObject({
  name: v.string(),
  kind: v.picklist(['service', 'mount']),
  type: v.string(),
  presence: v.picklist(['present', 'absent', 'damaged']),
  level,
  live: v.array(v.string()),
  bytes: count,
  files: count,
  streams: v.pipe(
    v.array(stream),
    v.check((items) => ordered(items), 'out of order or twice there'),
  ),
  objects: v.pipe(
    v.array(object),
    v.check((items) => ordered(items), 'out of order or twice there'),
  ),
  versions: v.record(v.string(), v.string()),
  facts: v.record(v.string(), json),
})

const code = v.strictObject({
  commit: objectId,
  tree: objectId,
  changes: v.optional(v.strictObject({ commit: objectId, files: count })),
})

const manifest = v.strictObject({
  version: v.literal(manifestVersion),
  id: v.pipe(v.string(), v.regex(/^[0-9a-hjkmnp-tv-z]{26}$/)),
  environment: v.string(),
  name: v.optional(v.string()),
  message: v.string(),
  trigger: v.picklist(['manual', 'push', 'safety', 'schedule', 'switch', 'delete']),
  createdAt: time,
  expiresAt: time,
  partial: v.boolean(),
  completes: v.optional(v.string()),
  code,
  services: v.pipe(
    v.array(service),
    v.check((items) => ordered(items), 'out of order or twice there'),
  ),
  consistency: v.strictObject({ level, heldMicros: count, skewMicros: count }),
  tool: v.strictObject({ name: v.string(), version: v.string() }),
})

/** Canonical JSON and a newline. Throws `bug` for what {@link decodeManifest} would not take. */
export function encodeManifest(value: Manifest): Buffer {
  const bytes = Buffer.from(`${canonicalJson(value as unknown as Json)}\n`, 'utf8')
  const problem =
    bytes.length > maxManifestBytes ? `it has ${bytes.length} bytes` : problemOf(JSON.parse(bytes.toString()))
  if (problem) throw new EnvError('bug', `not a manifest that can be stored: ${problem}`)
  return bytes
}

/** Throws `damaged` unless the bytes have this SHA-256 and are the one encoding of a manifest; `refused` when a newer git-env wrote it. */
export function decodeManifest(bytes: Uint8Array, sha256: string): Manifest {
  if (bytes.length > maxManifestBytes) throw damaged(sha256, `it has ${bytes.length} bytes`)
  if (createHash('sha256').update(bytes).digest('hex') !== sha256) {
    throw damaged(sha256, 'its bytes do not have the SHA-256 that names it')
  }
  const value = parse(bytes, sha256)
  const version = (value as { readonly version?: unknown }).version
  if (typeof version === 'number' && version > manifestVersion) {
    throw new EnvError('refused', `the manifest ${sha256} has the version ${version}, made by a newer git-env`, {
      hint: `this git-env reads version ${manifestVersion}: install a newer one`,
    })
  }
  const problem = problemOf(value)
  if (problem) throw damaged(sha256, problem)
  return value as unknown as Manifest
}

function parse(bytes: Uint8Array, sha256: string): Json & object {
  let value: Json
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    value = JSON.parse(text) as Json
    checkPlain(value, 0)
  } catch (cause) {
    throw damaged(sha256, 'it is not canonical JSON', cause)
  }
  if (value === null || typeof value !== 'object') throw damaged(sha256, 'it is no object')
  if (`${canonicalJson(value)}\n` !== text) throw damaged(sha256, 'it is not canonical JSON')
  return value
}

function problemOf(value: unknown): string | undefined {
  try {
    checkPlain(value as Json, 0)
  } catch (error) {
    return (error as Error).message
  }
  const result = v.safeParse(manifest, value)
  if (result.success) return undefined
  const issue = result.issues[0]
  return `${v.getDotPath(issue) ?? 'manifest'}: ${issue.message}`
}

/** No key that could reach an object's prototype in code that copies it, no number but integers, no nesting that exhausts the stack. */
function checkPlain(value: Json, depth: number): void {
  if (depth > maxDepth) throw new TypeError('it is nested too deeply')
  if (typeof value === 'number' && !Number.isSafeInteger(value))
    throw new TypeError('it holds a number that is no integer')
  if (value === null || typeof value !== 'object') return
  for (const [key, member] of Object.entries(value)) {
    if (key === '__proto__' || key === 'constructor' || key === 'prototype') {
      throw new TypeError(`it has the key ${key}`)
    }
    checkPlain(member as Json, depth + 1)
  }
}

function damaged(sha256: string, reason: string, cause?: unknown): EnvError {
  return new EnvError('damaged', `the manifest ${sha256} is damaged: ${reason}`, { cause })
}
