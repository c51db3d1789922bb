import { readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { EnvError, systemCode } from '../../domain/errors.ts'
import { makeDirectory, replaceFile } from '../../system/durable-file.ts'
import { cutRecords, encodeFunctions, functionsHeader } from './records.ts'

/** The functions of a server have no second place in it: what shall be, and what was, lie beside the journal until the swap is settled. */
export class FunctionFiles {
  readonly #directory: string

  constructor(privateDirectory: string, id: string) {
    this.#directory = path.join(privateDirectory, `swap-${id}`)
  }

  async write(which: 'before' | 'after', libraries: readonly Buffer[]): Promise<void> {
    await makeDirectory(this.#directory)
    await replaceFile(path.join(this.#directory, which), [encodeFunctions(libraries)])
  }

  async read(which: 'before' | 'after'): Promise<Buffer[]> {
    const file = path.join(this.#directory, which)
    const bytes = await readFile(file).catch((cause: unknown) => {
      if (systemCode(cause) !== 'ENOENT') throw cause
      throw new EnvError('damaged', `${file}, which a restore needs, is gone`, { cause })
    })
    const libraries: Buffer[] = []
    for await (const batch of cutRecords(single(bytes), functionsHeader)) {
      for (const each of batch) libraries.push(each.subarray(4))
    }
    return libraries
  }

  async remove(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true })
  }
}

async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
