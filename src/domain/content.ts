/**
 * Where a sequence of bytes lies in the store: its chunks, in order.
 * Exactly one of `chunks` and `list` is set; empty bytes have `chunks: []`.
 */
export type Content = {
  /** Length of the plain bytes. */
  readonly bytes: number
  /** SHA-256 of the plain bytes, lower-case hex. */
  readonly sha256: string
  /** Chunk ids (lower-case hex), when there are at most {@link maxInlineChunks}. */
  readonly chunks?: readonly string[]
  /** Chunk ids of the chunk list: those chunks, one after the other, are the 32-byte ids of the content's chunks. */
  readonly list?: readonly string[]
}

export const maxInlineChunks = 32

/**
 * How bytes are cut into chunks (sizes are minimum/average/maximum):
 * - `rows`: content-defined, 16/64/256 KiB: dumps and text files; an edit costs the chunks it touches
 * - `binary`: content-defined, 256 KiB/1 MiB/4 MiB: large binary files
 * - `pages`: fixed, 32 KiB: files that change page by page in place (SQLite databases)
 * - `listing`: content-defined, 16/64/256 KiB: listings of folders; kept readable even in a dry run
 */
export type ChunkProfile = 'rows' | 'binary' | 'pages' | 'listing'

/** Takes bytes into the store. What it accepted is durable only after the snapshot writer's `finish`. */
export interface ContentSink {
  /**
   * Stores bytes and says where they are. Equal bytes under one profile give equal contents.
   * A part is read before the next is asked for, and not afterwards: a producer may use one buffer for all.
   * A producer reports failure by throwing; the same error is thrown here and nothing refers to what was taken before it.
   */
  write(profile: ChunkProfile, bytes: AsyncIterable<Uint8Array> | Uint8Array): Promise<Content>
  /** Whether every chunk of a content from an earlier snapshot is in the store, so that it need not be read again. */
  holds(content: Content): Promise<boolean>
}

/** Gives stored bytes back. */
export interface ContentSource {
  /** The bytes, in order. Every chunk is checked against its id; damage is thrown as `damaged` before a wrong byte is given. */
  read(content: Content): AsyncIterable<Uint8Array>
}
