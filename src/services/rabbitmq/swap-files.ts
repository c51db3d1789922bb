import { readdirSync } from 'node:fs'
import path from 'node:path'
import type { ContentSink } from '../../domain/content.ts'
import { systemCode } from '../../domain/errors.ts'
import type { ServiceRecord } from '../../domain/manifest.ts'
import { definitionBytes } from './capture.ts'
import type { Mark } from './mark.ts'
import { MessageSet } from './message-set.ts'
import { absentRecord, type Captured, factsOf, presentRecord, queueOf } from './record.ts'

/** The sets of messages that a swap keeps in its folder. */
export class SwapFiles {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  target(): Promise<MessageSet> {
    return MessageSet.read(path.join(this.#directory, 'target'))
  }

  /** What was there at the last capture of this number. */
  async captured(number: number | null): Promise<MessageSet> {
    if (number === null) return MessageSet.empty(this.#directory)
    return MessageSet.read(path.join(this.#directory, `capture-${number}`))
  }

  /** What came after the last capture and was taken away too. */
  async late(mark: Mark | undefined): Promise<MessageSet> {
    if (mark?.late === undefined) return MessageSet.empty(this.#directory)
    return MessageSet.read(path.join(this.#directory, mark.late))
  }

  /** For what is to be kept besides: a set that has not been there yet, under a name of its own. */
  fresh(kind: 'late' | 'replaced'): { readonly name: string; readonly set: MessageSet } {
    const count = this.#names().filter((name) => name.startsWith(`${kind}-`)).length
    const name = `${kind}-${count + 1}`
    return { name, set: MessageSet.empty(path.join(this.#directory, name)) }
  }

  #names(): string[] {
    try {
      return readdirSync(this.#directory)
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return []
      throw error
    }
  }
}

export type Before = {
  readonly liveAbsent: boolean
  /** Only some queues were restored: of the others the safety snapshot has all. */
  readonly isPartial: boolean
  readonly set: MessageSet
}

/** The vhost as it was right before the swap, stored. */
export async function recordBefore(sink: ContentSink, safety: ServiceRecord, before: Before): Promise<ServiceRecord> {
  const { name, level, live, versions } = safety
  if (before.liveAbsent) return absentRecord(name, level)
  const { set } = before
  const { rows, unread, rung } = factsOf(safety)
  const queues = new Map<string, { content: Captured['definitions']; count: number }>()
  for (const { name: stream, content } of before.isPartial ? safety.streams : []) {
    const queue = queueOf(stream)
    if (queue !== undefined) queues.set(queue, { content, count: rows[queue] ?? 0 })
  }
  for (const { name: queue, count } of set.index.queues) {
    queues.set(queue, { content: await sink.write('rows', set.bytes(queue)), count })
  }
  const definitions = await sink.write('rows', definitionBytes(set.index.definitions))
  return presentRecord(name, {
    definitions,
    queues,
    level,
    live,
    versions,
    facts: { rung, vhost: set.index.vhost, unread },
  })
}
