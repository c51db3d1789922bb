import type { ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import { formatBytes } from '../../domain/format-text.ts'
import type { Connection, Word } from './connection.ts'
import { checked, info } from './facts.ts'
import { KeySorter } from './key-sorter.ts'
import { isSelected, type KeySelection, printableKey } from './keys.ts'
import { payloadOf } from './payload.ts'
import { RecordCursor } from './record-cursor.ts'
import { type KeyRecord, readKeys, readRecord } from './records.ts'
import { RefusedReply } from './replies.ts'
import { scanIndex } from './scan.ts'
import type { TargetIndex } from './target.ts'

const commandsAtOnce = 500
const bytesAtOnce = 1 << 20
/** Batches on the way: the server works while the next is made. */
const batchesAhead = 3
/** How often it is looked at whether others are losing keys because of us. */
const batchesBetweenLooks = 20

export type LoadOptions = {
  readonly connection: Connection
  readonly name: string
  readonly spare: number
  readonly target: TargetIndex
  readonly source: ContentSource
  readonly selections: readonly KeySelection[] | undefined
  /** Before the name of each key. */
  readonly prefix: string
  readonly progress: (bytes: number) => void
  readonly signal: AbortSignal
  readonly privateDirectory: string
  readonly claim: string
}

/** Puts the keys of a stream into a spare index. */
export async function loadKeys(options: LoadOptions): Promise<void> {
  const { connection, name, spare, source, target, selections, prefix, signal } = options
  checked((await connection.batch([['SELECT', spare]]))[0]!)
  const evicted = await evictedKeys(options)
  const ahead: Promise<void>[] = []
  let [commands, length, batches]: [Word[][], number, number] = [[], 0, 0]
  const send = async () => {
    const [now, bytes] = [commands, length]
    commands = []
    length = 0
    ahead.push(
      connection.batch(now).then((replies) => {
        for (const [nr, reply] of replies.entries()) {
          if (reply instanceof RefusedReply) throw notTaken(name, now[nr]![1] as Buffer, reply)
        }
        options.progress(bytes)
      }),
    )
    // It is thrown where it is waited for.
    ahead.at(-1)!.catch(() => {})
    if (ahead.length > batchesAhead) await ahead.shift()
    if (++batches % batchesBetweenLooks === 0 && (await evictedKeys(options)) > evicted) throw evicting(name)
  }
  for await (const batch of readKeys(source, target.content)) {
    signal.throwIfAborted()
    for (const each of batch) {
      const record = readRecord(each)
      if (selections && !isSelected(record.key, selections)) continue
      const key = prefix === '' ? record.key : Buffer.concat([Buffer.from(prefix), record.key])
      const isForEver = record.expires < 0
      const payload = payloadOf(record)
      commands.push([
        'RESTORE',
        key,
        isForEver ? 0 : Math.max(1, record.expires),
        payload,
        ...(isForEver ? [] : ['ABSTTL']),
      ])
      length += each.length
      if (length >= bytesAtOnce || commands.length >= commandsAtOnce) await send()
    }
  }
  if (commands.length > 0) await send()
  for (const each of ahead) await each
  if ((await evictedKeys(options)) > evicted) throw evicting(name)
}

/** Reads back what was loaded, and compares it with what is stored. */
export async function compareKeys(options: LoadOptions): Promise<void> {
  const { connection, name, spare, source, target, selections, prefix, claim, signal, privateDirectory } = options
  const sorter = new KeySorter(privateDirectory)
  const own = Buffer.from(prefix)
  try {
    await scanIndex({
      connection,
      name,
      index: spare,
      wanted: (key) => key.toString('latin1') !== claim,
      add: (record) => sorter.add({ ...record, key: record.key.subarray(own.length) }),
      signal,
    })
    const found = new RecordCursor(sorter.batches())
    await found.read()
    for await (const batch of readKeys(source, target.content)) {
      for (const each of batch) {
        const { key, expires } = readRecord(each)
        if (selections && !isSelected(key, selections)) continue
        if (found.record?.equals(each)) {
          if (!found.next()) await found.read()
          continue
        }
        const isThere = found.record !== undefined && readRecord(found.record).key.equals(key)
        if (isThere || expires < 0 || expires > (await serverTime(connection))) throw different(name, { key })
      }
    }
    if (found.record) throw different(name, readRecord(found.record))
  } finally {
    sorter.close()
  }
}

async function serverTime(connection: Connection): Promise<number> {
  const [seconds, micros] = (await connection.run('TIME')) as [Buffer, Buffer]
  return Number(seconds) * 1000 + Number(micros) / 1000
}

async function evictedKeys({ connection, name }: LoadOptions): Promise<number> {
  return Number((await info(connection, name, 'stats')).get('evicted_keys') ?? 0)
}

/** Room for what comes beside what is there. */
export function refuseWithoutRoom(
  name: string,
  memory: { readonly usedMemory: number; readonly maxMemory: number },
  target: Iterable<Pick<TargetIndex, 'bytes' | 'keys'>>,
): void {
  if (memory.maxMemory === 0) return
  let needed = 0
  // A key costs about so much beside its bytes.
  for (const { bytes, keys } of target) needed += bytes + 70 * keys
  const free = Math.max(0, memory.maxMemory - memory.usedMemory)
  if (needed <= free) return
  throw new EnvError(
    'refused',
    `${name}: the server has ${formatBytes(free)} left of its maxmemory, and what comes takes about ${formatBytes(needed)} beside what is there`,
    { hint: `for the time of the restore: CONFIG SET maxmemory ${memory.usedMemory + 2 * needed}` },
  )
}

function notTaken(name: string, key: Buffer, reply: RefusedReply): EnvError {
  const hint =
    reply.code === 'OOM'
      ? 'raise its maxmemory for the time of the restore'
      : reply.isDenied
        ? 'let the user of the url use RESTORE, in every index and for all keys'
        : 'mend that, then run the command again; the live data was not touched'
  return new EnvError(
    'unavailable',
    `${name}: the server does not take the key ${printableKey(key)}: ${reply.message}`,
    {
      cause: reply,
      hint,
    },
  )
}

function evicting(name: string): EnvError {
  return new EnvError(
    'unavailable',
    `${name}: the server throws keys away to make room, so nothing more is loaded into it`,
    {
      hint: 'raise its maxmemory for the time of the restore, then run the command again',
    },
  )
}

function different(name: string, { key }: Pick<KeyRecord, 'key'>): EnvError {
  return new EnvError('damaged', `${name}: the key ${printableKey(key)} is not in the spare index as it is stored`, {
    hint: 'see whether something else writes to the spare index; the live data was not touched',
  })
}
