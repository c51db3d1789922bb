import type { Manifest, Trigger } from './manifest.ts'
import { isSnapshotId, shortId } from './snapshot-id.ts'
import { buildMessage, oneLine, parseTrailers, type Trailer, trailerMap, trailerValues } from './trailers.ts'

const snapshotPrefix = 'snapshot: '
const triggers: readonly string[] = ['manual', 'push', 'safety', 'schedule', 'switch', 'delete'] satisfies Trigger[]

/** What the message of a snapshot commit says: everything about the snapshot but the commit that carries it. */
export type SnapshotFacts = {
  readonly id: string
  readonly environment: string
  readonly name: string | undefined
  /** Subject without `snapshot: `. */
  readonly message: string
  readonly trigger: Trigger
  /** SHA-256 of the manifest, lower-case hex. */
  readonly manifest: string
  readonly code: string | undefined
  readonly tree: string | undefined
  readonly partial: boolean
  readonly createdAt: Date | undefined
  readonly expiresAt: Date | undefined
  readonly changes: string | undefined
}

/** The canonical text of a snapshot commit. `digest` is the manifest's SHA-256; `body` are the lines for people. */
export function snapshotMessage(manifest: Manifest, digest: string, body: readonly string[]): string {
  const [subject = '', ...more] = manifest.message.trim().split('\n')
  const title = oneLine(subject) || oneLine(manifest.name ?? '') || shortId(manifest.id)
  const trailers: (Trailer | undefined)[] = [
    { token: 'Snapshot-Id', value: manifest.id },
    optional('Snapshot-Name', manifest.name),
    { token: 'Snapshot-Environment', value: manifest.environment },
    { token: 'Snapshot-Manifest', value: `sha256:${digest}` },
    { token: 'Snapshot-Code', value: manifest.code.commit },
    { token: 'Snapshot-Tree', value: manifest.code.tree },
    { token: 'Snapshot-Format', value: String(manifest.version) },
    { token: 'Snapshot-Created', value: manifest.createdAt },
    { token: 'Snapshot-Expires', value: manifest.expiresAt },
    { token: 'Snapshot-Trigger', value: manifest.trigger },
    optional('Snapshot-Partial', manifest.partial ? 'true' : undefined),
    optional('Snapshot-Changes', manifest.code.changes?.commit),
  ]
  return buildMessage({
    subject: `${snapshotPrefix}${title}`,
    body: more.length > 0 ? [...more, '', ...body] : body,
    trailers: trailers.filter((trailer) => trailer !== undefined),
  })
}

export type RestoreFacts = {
  /** `undo` is a restore of the state before one, `redo` of the state before an undo. */
  readonly kind: 'restore' | 'undo' | 'redo'
  readonly restoreId: string
  readonly snapshotId: string
  readonly snapshotCommit: string
  /** Subject of the snapshot; its id stands in for an empty one. */
  readonly snapshotMessage: string
  /** Id of the snapshot of what was there before. */
  readonly safety: string | undefined
  readonly body: readonly string[]
}

/** The canonical text of the commit that a restore appends. */
export function restoreMessage(facts: RestoreFacts): string {
  const trailers: (Trailer | undefined)[] = [
    { token: 'Restored-Snapshot', value: facts.snapshotId },
    { token: 'Restored-Commit', value: facts.snapshotCommit },
    optional('Snapshot-Safety', facts.safety),
    { token: 'Restore-Id', value: facts.restoreId },
  ]
  return buildMessage({
    subject: `${facts.kind}: ${oneLine(facts.snapshotMessage) || shortId(facts.snapshotId)}`,
    body: facts.body,
    trailers: trailers.filter((trailer) => trailer !== undefined),
  })
}

function optional(token: string, value: string | undefined): Trailer | undefined {
  return value === undefined || oneLine(value) === '' ? undefined : { token, value }
}

/** The facts in a commit message; undefined unless its last paragraph has exactly one valid `Snapshot-Id`, and a manifest. */
export function parseSnapshotMessage(message: string): SnapshotFacts | undefined {
  // Nearly all commits of a history end here, without their trailers being looked for.
  if (!/Snapshot-Id/i.test(message)) return undefined
  const trailers = trailerMap(parseTrailers(message))
  const ids = trailers.get('snapshot-id') ?? []
  const id = ids[0]
  const manifest = first(trailers, 'Snapshot-Manifest')?.match(/^sha256:([0-9a-f]{64})$/)?.[1]
  if (ids.length !== 1 || id === undefined || !isSnapshotId(id) || manifest === undefined) return undefined
  const trigger = first(trailers, 'Snapshot-Trigger') ?? ''
  return {
    id,
    manifest,
    environment: first(trailers, 'Snapshot-Environment') ?? '',
    name: first(trailers, 'Snapshot-Name'),
    message: subjectOf(message).replace(/^snapshot: /, ''),
    trigger: triggers.includes(trigger) ? (trigger as Trigger) : 'manual',
    code: objectId(first(trailers, 'Snapshot-Code')),
    tree: objectId(first(trailers, 'Snapshot-Tree')),
    partial: first(trailers, 'Snapshot-Partial') === 'true',
    createdAt: time(first(trailers, 'Snapshot-Created')),
    expiresAt: time(first(trailers, 'Snapshot-Expires')),
    changes: objectId(first(trailers, 'Snapshot-Changes')),
  }
}

/** Id of the snapshot that this commit restored, or undid a restore with; undefined for any other commit. */
export function parseRestored(message: string): string | undefined {
  if (!/Restored-Snapshot/i.test(message)) return undefined
  const ids = trailerValues(parseTrailers(message), 'Restored-Snapshot')
  return ids.length === 1 && isSnapshotId(ids[0]!) ? ids[0] : undefined
}

/** First paragraph as one line. */
export function subjectOf(message: string): string {
  return oneLine(message.trimStart().split(/\n[ \t\r]*\n/, 1)[0] ?? '')
}

function first(trailers: ReadonlyMap<string, readonly string[]>, token: string): string | undefined {
  return trailers.get(token.toLowerCase())?.[0]
}

function objectId(value: string | undefined): string | undefined {
  return value !== undefined && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(value) ? value : undefined
}

function time(value: string | undefined): Date | undefined {
  const date = new Date(value ?? '')
  return Number.isNaN(date.getTime()) ? undefined : date
}
