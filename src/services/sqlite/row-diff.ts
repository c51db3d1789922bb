import { RowCursor } from './btree.ts'
import type { PageFile } from './page-file.ts'

/** Rows by which one state of a table differs from another, by rowid. */
export type RowDiff = {
  /** Rows to take away: gone in the other state, or different there. */
  readonly removed: readonly (number | bigint)[]
  /** Rows to put in: new in the other state, or different there. */
  readonly added: readonly (number | bigint)[]
}

export type TableAt = { readonly file: PageFile; readonly root: number }

/**
 * Compares two states of a rowid table, row by row in the order of rowids, byte for byte.
 * Undefined when more than `limit` rows differ, so that it is quicker to write the table anew.
 */
export function diffRows(before: TableAt, after: TableAt, limit: number): RowDiff | undefined {
  const removed: (number | bigint)[] = []
  const added: (number | bigint)[] = []
  const left = new RowCursor(before.file, before.root)
  const right = new RowCursor(after.file, after.root)
  let leftMore = left.next()
  let rightMore = right.next()
  while ((leftMore || rightMore) && removed.length + added.length <= limit) {
    if (leftMore && rightMore && left.rowid === right.rowid) {
      if (!sameRecord(left, right)) {
        removed.push(left.rowid)
        added.push(right.rowid)
      }
      leftMore = left.next()
      rightMore = right.next()
    } else if (leftMore && (!rightMore || left.rowid < right.rowid)) {
      removed.push(left.rowid)
      leftMore = left.next()
    } else {
      added.push(right.rowid)
      rightMore = right.next()
    }
  }
  return removed.length + added.length <= limit ? { removed, added } : undefined
}

function sameRecord(left: RowCursor, right: RowCursor): boolean {
  if (left.payloadBytes !== right.payloadBytes || left.overflow > 0 !== right.overflow > 0) return false
  if (left.overflow === 0) return left.local.equals(right.local)
  return samePieces(pieces(left), pieces(right))
}

function* pieces(cursor: RowCursor): Generator<Buffer> {
  yield cursor.local
  yield* cursor.overflowParts()
}

/** Whether two sequences of buffers hold the same bytes, wherever they are cut. */
function samePieces(left: Generator<Buffer>, right: Generator<Buffer>): boolean {
  let a: Buffer | undefined
  let b: Buffer | undefined
  for (;;) {
    a = a?.length ? a : nextOf(left)
    b = b?.length ? b : nextOf(right)
    if (!a || !b) return a === b
    const length = Math.min(a.length, b.length)
    if (!a.subarray(0, length).equals(b.subarray(0, length))) return false
    a = a.subarray(length)
    b = b.subarray(length)
  }
}

function nextOf(parts: Generator<Buffer>): Buffer | undefined {
  const { value, done } = parts.next()
  return done ? undefined : (value as Buffer)
}
