import { createHash } from 'node:crypto'
import type { Content, ContentSource } from '../../domain/content.ts'
import { EnvError } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import { isSelected, type KeySelection, printableKey } from './keys.ts'
import { BadRdb, RdbBytes, RdbWriter } from './rdb-bytes.ts'
import { cutRecords, functionsStream, indexOfStream, keysHeader, readFunctions, readRecord } from './records.ts'
import type { Server } from './server.ts'
import { copyValue, versionOfType } from './values.ts'

/** What a restore shall bring, checked. */
export type Target = {
  /** By index. */
  readonly indexes: ReadonlyMap<number, TargetIndex>
  readonly libraries: readonly Buffer[]
  readonly types: ReadonlySet<number>
}

export type TargetIndex = { readonly content: Content; readonly keys: number; readonly bytes: number }

/**
 * Reads all that is stored, from the first byte to the last, before anything of it goes to a server: sums, order, and every value taken apart.
 */
export async function readTarget(
  record: ServiceRecord,
  source: ContentSource,
  server: Server,
  options: { readonly selections: readonly KeySelection[] | undefined; readonly serverVersion: number },
): Promise<Target> {
  const scope = record.presence === 'absent' ? undefined : record.facts['scope']
  const wanted = server.index === undefined ? 'server' : 'index'
  if (scope !== undefined && scope !== wanted) {
    throw new EnvError(
      'refused',
      `${server.name}: the snapshot is of ${scope === 'server' ? 'a whole server' : 'one index'}, the url names ${wanted === 'server' ? 'a whole server' : 'one index'}`,
      {
        hint:
          wanted === 'server'
            ? 'give the url an index'
            : 'leave the index out of the url, where the whole server is yours',
      },
    )
  }
  const indexes = new Map<number, TargetIndex>()
  const types = new Set<number>()
  const found = new Set<KeySelection>()
  for (const { name, content } of record.streams) {
    if (name === functionsStream) continue
    const index = server.index ?? indexOfStream(name)
    if (index === undefined) throw damaged(server, `it has an unknown stream ${name}`)
    const checked = await checkKeys(source, content, server, { types, selections: options.selections, found })
    indexes.set(index, { content, ...checked })
  }
  refuseUnknown(server, options.selections, found)
  for (const type of types) {
    if (fits(versionOfType(type), options.serverVersion)) continue
    throw new EnvError(
      'refused',
      `${server.name}: the snapshot holds values that this server is too old for, or does not know`,
      {
        hint: `it was taken from ${Object.entries(record.versions).flat().join(' ')}: restore it into a server of that version or a newer one`,
      },
    )
  }
  return { indexes, libraries: await readFunctions(source, record), types }
}

/** Valkey counts from 80 on its own since its ninth version. */
function fits(needed: number, has: number): boolean {
  return needed >= 80 ? has >= needed : needed === 12 ? has >= 12 && has < 80 : has >= needed
}

type Seen = {
  readonly types: Set<number>
  readonly selections: readonly KeySelection[] | undefined
  /** Those of which there are keys. */
  readonly found: Set<KeySelection>
}

async function checkKeys(
  source: ContentSource,
  content: Content,
  server: Server,
  { types, selections, found }: Seen,
): Promise<{ readonly keys: number; readonly bytes: number }> {
  const sum = createHash('sha256')
  let [keys, bytes, last] = [0, 0, Buffer.alloc(0) as Buffer]
  const scratch = new RdbWriter()
  async function* summed(): AsyncGenerator<Uint8Array> {
    for await (const part of source.read(content)) {
      sum.update(part)
      yield part
    }
  }
  for await (const batch of cutRecords(summed(), keysHeader)) {
    for (const each of batch) {
      const { key, type, value } = readRecord(each)
      if (keys > 0 && Buffer.compare(last, key) >= 0) throw damaged(server, 'its keys are not in order')
      const from = new RdbBytes(value)
      scratch.clear()
      try {
        const same = copyValue(from, type, versionOfType(type), scratch)
        if (same !== type || !scratch.bytes.equals(value))
          throw new BadRdb('a value in another form than it was stored in')
      } catch (cause) {
        throw damaged(server, `its key ${printableKey(key)} holds no whole value`, cause)
      }
      last = key
      if (selections) {
        const wanted = selections.filter((each) => isSelected(key, [each]))
        if (wanted.length === 0) continue
        for (const each of wanted) found.add(each)
      }
      types.add(type)
      keys++
      bytes += each.length
    }
  }
  if (sum.digest('hex') !== content.sha256) throw damaged(server, 'its sum is another')
  return { keys, bytes }
}

/** A name that is misspelt must not take keys away. */
function refuseUnknown(
  { name }: Server,
  selections: readonly KeySelection[] | undefined,
  found: ReadonlySet<KeySelection>,
): void {
  const missing = selections?.find((each) => !found.has(each))
  if (!missing) return
  const { text, isPrefix } = missing
  throw new EnvError('not-found', `the snapshot holds no ${JSON.stringify(isPrefix ? `${text}*` : text)} in ${name}`, {
    hint: `a key, or how keys begin with a * behind it: --only '${name}:session:*'`,
  })
}

function damaged({ name }: Server, what: string, cause?: unknown): EnvError {
  return new EnvError('damaged', `${name}: what is stored is damaged: ${what}`, {
    cause,
    hint: 'nothing was sent to the server; git env verify says what else is damaged',
  })
}
