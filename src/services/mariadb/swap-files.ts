import { mkdir, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { canonicalJson, type Json } from '../../domain/canonical-json.ts'
import { EnvError } from '../../domain/errors.ts'
import { replaceFile } from '../../system/durable-file.ts'
import type { Schema } from './schema.ts'

/** The definitions that a swap needs, also in another process: `target`, what shall be; `before-<n>`, what the last capture found. */
export class SwapFiles {
  readonly #folder: string

  constructor(privateDirectory: string, id: string) {
    this.#folder = path.join(privateDirectory, `swap-${id}`)
  }

  async write(name: string, schema: Schema): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    await replaceFile(path.join(this.#folder, `${name}.json`), [Buffer.from(canonicalJson(schema as unknown as Json))])
  }

  async read(name: string): Promise<Schema> {
    const file = path.join(this.#folder, `${name}.json`)
    try {
      return JSON.parse(await readFile(file, 'utf8')) as Schema
    } catch (cause) {
      throw new EnvError('damaged', `${file}, which a restore needs, cannot be read`, { cause })
    }
  }

  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }
}
