import type { Json } from './canonical-json.ts'
import type { Content } from './content.ts'

/** Which moment a service's data is of: `frozen` held together with all others, `point` its own consistent point, `live` neither. */
export type Level = 'frozen' | 'point' | 'live'

/** `present`: whole; `absent`: nothing there; `damaged`: kept as the raw files it is. */
export type Presence = 'present' | 'absent' | 'damaged'

export type Trigger = 'manual' | 'push' | 'safety' | 'schedule' | 'switch' | 'delete'

/** One named sequence of bytes of a service. `tree`: the content is a listing of a folder (see tree.ts) that refers to the files' contents. */
export type StreamRecord = {
  readonly name: string
  readonly kind: 'bytes' | 'tree'
  readonly content: Content
}

/** One thing inside a service that a person would name: a table. `digest` is equal when its rows are equal. */
export type ObjectRecord = {
  readonly name: string
  readonly kind: string
  readonly rows: number
  readonly digest: string
}

/** What a snapshot knows about one service or mount. Streams and objects are ordered by name (code units). */
export type ServiceRecord = {
  readonly name: string
  readonly kind: 'service' | 'mount'
  /** The driver: `sqlite`, `files`, … */
  readonly type: string
  readonly presence: Presence
  readonly level: Level
  /** Names of what could not be had at the common point (paths, tables), ordered; empty but for level `live`. */
  readonly live: readonly string[]
  /** Plain bytes of the data itself (for a tree: of its files). */
  readonly bytes: number
  /** Files in a tree, 0 elsewhere. */
  readonly files: number
  readonly streams: readonly StreamRecord[]
  readonly objects: readonly ObjectRecord[]
  /** Versions of server and tools, by name. */
  readonly versions: Readonly<Record<string, string>>
  /** What only the driver understands. */
  readonly facts: Readonly<Record<string, Json>>
}

export type CodeRecord = {
  /** The commit that the data belongs to: the parent of the snapshot commit. */
  readonly commit: string
  readonly tree: string
  /** Uncommitted and untracked code kept beside, as the commit of `refs/env/changes/<id>`. */
  readonly changes?: { readonly commit: string; readonly files: number }
}

/** A snapshot: canonical JSON, named by its SHA-256. Times are ISO 8601 in UTC, durations whole microseconds. */
export type Manifest = {
  readonly version: 1
  readonly id: string
  readonly environment: string
  readonly name?: string
  readonly message: string
  readonly trigger: Trigger
  readonly createdAt: string
  readonly expiresAt: string
  /** Only some services were taken (`--only`): never `latest`. */
  readonly partial: boolean
  /** The safety snapshot that this one completes with what was written until the swap. */
  readonly completes?: string
  readonly code: CodeRecord
  /** Ordered by name (code units). */
  readonly services: readonly ServiceRecord[]
  readonly consistency: { readonly level: Level; readonly heldMicros: number; readonly skewMicros: number }
  readonly tool: { readonly name: string; readonly version: string }
}
