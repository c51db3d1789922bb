import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { makeDirectory, replaceFile } from '../../system/durable-file.ts'
import type { Session } from './session.ts'

/** A transaction of a swap, written down before it is committed. */
export type SwapTransaction = {
  readonly kind: 'forward' | 'back'
  /** Number of the transaction, of 64 bits. */
  readonly xid: string
  /** The last capture that holds what was there before it. */
  readonly capture: number
}

/** The transactions of one swap, in order. Whether one came to pass is for the server to say: nothing of ours is left in the data. */
export class SwapLog {
  readonly #file: string

  constructor(directory: string) {
    this.#file = path.join(directory, 'transactions')
  }

  async add(transaction: SwapTransaction): Promise<void> {
    await makeDirectory(path.dirname(this.#file))
    await replaceFile(this.#file, [Buffer.from(JSON.stringify([...(await this.#read()), transaction]))])
  }

  /** The last that was committed. */
  async last(session: Session): Promise<SwapTransaction | undefined> {
    for (const transaction of (await this.#read()).toReversed()) {
      const { status } = await session.one('SELECT pg_xact_status($1::text::xid8) AS status', [transaction.xid])
      if (status === 'committed') return transaction
    }
    return undefined
  }

  async #read(): Promise<SwapTransaction[]> {
    const text = await readFile(this.#file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '[]'
      throw error
    })
    return JSON.parse(text) as SwapTransaction[]
  }
}
