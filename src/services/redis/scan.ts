import { EnvError } from '../../domain/errors.ts'
import type { Connection, Word } from './connection.ts'
import { checked } from './facts.ts'
import { printableKey } from './keys.ts'
import { readPayload } from './payload.ts'
import { BadRdb } from './rdb-bytes.ts'
import type { KeyRecord } from './records.ts'
import { RefusedReply, type Reply } from './replies.ts'

const keysAtOnce = 500

export type ScanOptions = {
  readonly connection: Connection
  readonly name: string
  readonly index: number
  /** A key's bytes, and the record that is kept of it, if any. */
  readonly wanted?: (key: Buffer) => boolean
  readonly add: (record: KeyRecord) => void
  readonly progress?: (bytes: number) => void
  readonly signal: AbortSignal
}

/** Reads the keys of an index one after the other. Of one moment only where nobody writes. */
export async function scanIndex({
  connection,
  name,
  index,
  wanted,
  add,
  progress,
  signal,
}: ScanOptions): Promise<void> {
  checked((await connection.batch([['SELECT', index]]))[0]!)
  const count = (bytes: number) => progress?.(bytes)
  let cursor = '0'
  let keys: Buffer[] = []
  do {
    signal.throwIfAborted()
    const dumps: Word[][] = keys.flatMap((key) => [
      ['DUMP', key],
      ['PEXPIRETIME', key],
    ])
    const [found, ...replies] = await connection.batch([['SCAN', cursor, 'COUNT', keysAtOnce], ...dumps])
    count(take(keys, replies, add, name))
    const [next, names] = checked(found!) as [Buffer, Buffer[]]
    cursor = String(next)
    keys = wanted ? names.filter(wanted) : names
    if (cursor === '0' && keys.length > 0) {
      const last = await connection.batch(
        keys.flatMap(
          (key) =>
            [
              ['DUMP', key],
              ['PEXPIRETIME', key],
            ] as Word[][],
        ),
      )
      count(take(keys, last, add, name))
    }
  } while (cursor !== '0')
}

function take(keys: readonly Buffer[], replies: readonly Reply[], add: (record: KeyRecord) => void, name: string) {
  let bytes = 0
  for (const [nr, key] of keys.entries()) {
    const [payload, expires] = [replies[2 * nr]!, replies[2 * nr + 1]!]
    // It went meanwhile.
    if (payload === null || expires === -2) continue
    if (payload instanceof RefusedReply) throw payload
    try {
      add({ key, expires: checked(expires) as number, ...readPayload(payload as Buffer) })
    } catch (cause) {
      if (!(cause instanceof BadRdb)) throw cause
      throw new EnvError('refused', `${name}: the key ${printableKey(key)} holds ${cause.message}`, {
        cause,
        hint: 'this git-env does not know it; a newer one may',
      })
    }
    bytes += (payload as Buffer).length
  }
  return bytes
}
