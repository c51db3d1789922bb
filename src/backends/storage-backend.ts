/**
 * Where a store's files lie. Five verbs and a clock; no rename and no overwrite. The conformance suite
 * (test/contract/storage-backend.ts) runs against every backend.
 *
 * Names are `/`-separated segments of `[a-z0-9._-]`, never empty, `.` or `..`.
 *
 * Laws:
 * - `put` MUST be all or nothing: no reader and no crash may ever show a partial object, also at the second writer of one name.
 * - When `put` resolves, the object MUST survive a power loss.
 * - What was put MUST be seen by `get`, `stat` and `list` at once.
 * - `list` MUST give every object that existed before it began and was not deleted since; it throws rather than end early.
 */
export interface StorageBackend {
  /** For messages: a path or URL without secrets. */
  readonly location: string
  /** Stores an object unless the name is taken: then it changes nothing and resolves `exists`. */
  put(name: string, parts: readonly Uint8Array[]): Promise<'created' | 'exists'>
  /**
   * The bytes, or the range of them. Throws `not-found` (EnvError), and `damaged` when the range is not all there.
   * A backend may put a range into the beginning of `into`, which has room for it, and give that: nothing is allocated then.
   */
  get(name: string, range?: ByteRange, into?: Uint8Array): Promise<Uint8Array>
  stat(name: string): Promise<ObjectInfo | undefined>
  /** Objects whose names begin with the prefix, in no order. */
  list(prefix: string): AsyncIterable<ObjectInfo>
  /** Their names alone, some at a time, under the same law as `list`: cheaper where every object would have to be looked at. */
  names(prefix: string): AsyncIterable<readonly string[]>
  /** Removes an object; whether it was there. */
  delete(name: string): Promise<boolean>
  /** The time by the clock that stamps `modifiedAtMs`, in milliseconds since 1970. */
  now(): Promise<number>
}

export type ByteRange = { readonly offset: number; readonly length: number }

export type ObjectInfo = { readonly name: string; readonly size: number; readonly modifiedAtMs: number }
