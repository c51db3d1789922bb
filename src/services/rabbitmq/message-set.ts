import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { EnvError, systemCode } from '../../domain/errors.ts'
import { makeDirectory, replaceFile } from '../../system/durable-file.ts'
import { type Definitions, noDefinitions, type VhostDefinition } from './definitions.ts'
import { decodeMessages, type StoredMessage } from './messages.ts'

type SetQueue = {
  readonly name: string
  /** Files in the folder, one after the other; more than one where messages came after the first was written. */
  readonly files: readonly string[]
  readonly count: number
  readonly bytes: number
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

  static none(): MessageSet {
    return new MessageSet('', { definitions: noDefinitions, vhost: null, queues: [] })
  }

  find(queue: string): SetQueue | undefined {
    return this.index.queues.find(({ name }) => name === queue)
  }

  async *bytes(queue: string): AsyncGenerator<Uint8Array> {
    for (const file of this.find(queue)?.files ?? [])
      yield* createReadStream(path.join(this.directory, file), { highWaterMark: 1 << 20 })
  }

  messages(queue: string): AsyncGenerator<StoredMessage> {
    return decodeMessages(this.bytes(queue))
  }
}
