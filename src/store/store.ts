import type { ContentSink, ContentSource } from '../domain/content.ts'
import type { Manifest } from '../domain/manifest.ts'

/**
 * Chunks and manifests on top of a backend. What a snapshot refers to is in the store before its manifest is, and the manifest before the
 * Git ref; cut short anywhere, a writer leaves garbage and nothing else. docs/format.md gives every byte.
 */
export interface Store extends ContentSource, ManifestList {
  /** ULID made at creation: tells this store from every other. */
  readonly id: string
  readonly location: string
  /** `dryRun`: counts and hashes, stores nothing; listings written to it can be read from it. */
  writer(options?: { readonly dryRun?: boolean }): SnapshotWriter
  /** The manifest with this SHA-256 (lower-case hex). Throws `not-found`, `damaged`, or `refused` when a newer git-env wrote it. */
  manifest(digest: string): Promise<Manifest>
  /**
   * Looks for every chunk that the manifest needs; with `data` also reads each and compares it with its id.
   * An empty list means that it can be restored. What was read and right within the last ten minutes is not read again.
   */
  check(manifest: Manifest, options: CheckOptions): Promise<readonly Damage[]>
  /** Checks every pack, pack index and manifest, also those that no snapshot needs. */
  verify(options: CheckOptions): Promise<VerifyReport>
  /** Bytes that the store's objects take, and how many there are of each kind. */
  usage(): Promise<StoreUsage>
}

/** Which snapshots' data is in a store. */
export interface ManifestList {
  /** Digests of all manifests in the store. Reads names only. */
  manifests(): Promise<ReadonlySet<string>>
  /** Whether one manifest is in the store. */
  hasManifest(digest: string): Promise<boolean>
}

export type CheckOptions = {
  readonly data: boolean
  readonly progress?: (doneBytes: number, totalBytes: number) => void
  readonly signal?: AbortSignal
}

export type Damage = {
  /** The store's object: `packs/ab/ab12…`, `manifests/…`. */
  readonly object: string
  /** What is wrong with it, for people. */
  readonly reason: string
}

export type VerifyReport = {
  readonly damages: readonly (Damage & { readonly snapshots: readonly string[] })[]
  readonly packs: number
  readonly manifests: number
  readonly bytesRead: number
}

export type StoreUsage = { readonly bytes: number; readonly packs: number; readonly manifests: number }

export interface SnapshotWriter extends ContentSink, ContentSource {
  /** Plain bytes that were new to the store, and what they take in it. */
  readonly added: { readonly plainBytes: number; readonly storedBytes: number; readonly chunks: number }
  /** Packs → read back → fsync → index → manifest → read back. Gives the manifest's SHA-256. */
  finish(manifest: Manifest): Promise<string>
  /** Stops and drops what is not yet in the store. What already is stays for a later snapshot to reuse. */
  abort(): Promise<void>
}
