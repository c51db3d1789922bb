import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { EnvError, systemCode } from '../../domain/errors.ts'
import { makeDirectory, replaceFile } from '../../system/durable-file.ts'
import { type Definitions, noDefinitions, type VhostDefinition } from './definitions.ts'
import { decodeMessages, digestOf, type StoredMessage } from './messages.ts'

export type SetQueue = {
  readonly name: string
  /** Files in the folder, one after the other; more than one where messages came after the first was written. */
  readonly files: readonly string[]
  readonly count: number
  /** Of the first file. */
  readonly sha256: string
  /** Whether all reached the queue by its own name, so that no exchange of ours is needed. */
  readonly isPlain: boolean
}

export type SetIndex = {
  readonly definitions: Definitions
  readonly vhost: VhostDefinition | null
  readonly queues: readonly SetQueue[]
}

/** Definitions and messages in a folder of ours, durable once their index is written. */
export class MessageSet {
  readonly directory: string
  readonly index: SetIndex

  private constructor(directory: string, index: SetIndex) {
    this.directory = directory
    this.index = index
  }

  static async write(directory: string, index: SetIndex): Promise<MessageSet> {
    await makeDirectory(directory)
    await replaceFile(path.join(directory, 'index'), [Buffer.from(JSON.stringify(index))])
    return new MessageSet(directory, index)
  }

  static async read(directory: string): Promise<MessageSet> {
    try {
      return new MessageSet(directory, JSON.parse(await readFile(path.join(directory, 'index'), 'utf8')) as SetIndex)
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error
      throw new EnvError('damaged', `${directory}, which holds messages of a restore, is gone`, { cause: error })
    }
  }

  /** In this folder, which may not be there yet. */
  static empty(directory: string): MessageSet {
    return new MessageSet(directory, { definitions: noDefinitions, vhost: null, queues: [] })
  }

  only(queues: readonly string[]): MessageSet {
    const wanted = this.index.queues.filter(({ name }) => queues.includes(name))
    return new MessageSet(this.directory, { ...this.index, queues: wanted })
  }

  /** And of each queue what another set has, which lies beside this one. */
  with(other: MessageSet): MessageSet {
    const at = path.relative(this.directory, other.directory)
    const queues = new Map(this.index.queues.map((queue) => [queue.name, queue]))
    for (const more of other.index.queues) {
      const have = queues.get(more.name)
      const files = more.files.map((file) => path.join(at, file))
      const both = have && {
        ...have,
        files: [...have.files, ...files],
        count: have.count + more.count,
        isPlain: have.isPlain && more.isPlain,
      }
      queues.set(more.name, both ?? { ...more, files })
    }
    return new MessageSet(this.directory, { ...this.index, queues: [...queues.values()] })
  }

  find(queue: string): SetQueue | undefined {
    return this.index.queues.find(({ name }) => name === queue)
  }

  async *bytes(queue: string): AsyncGenerator<Uint8Array> {
    for (const file of this.find(queue)?.files ?? [])
      yield* createReadStream(path.join(this.directory, file), { highWaterMark: 1 << 20 })
  }

  async digests(queue: string): Promise<string[]> {
    const digests: string[] = []
    for await (const message of this.messages(queue)) digests.push(digestOf(message))
    return digests
  }

  messages(queue: string): AsyncGenerator<StoredMessage> {
    return decodeMessages(this.bytes(queue))
  }
}
