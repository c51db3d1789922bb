import { mkdir, readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { replaceFile, syncDirectory } from '../../system/durable-file.ts'
import { copyOutStatement, displayName, type SequenceValue, type Table } from './catalog.ts'
import { readRows, writeRows } from './row-files.ts'
import type { Session } from './session.ts'

/** What was written to the database between the safety snapshot and a swap, as files: whole tables, and where the sequences stood. */
export type LastCapture = {
  readonly tables: readonly CapturedTable[]
  readonly sequences: readonly SequenceValue[]
}

type CapturedTable = {
  readonly table: string
  readonly rows: number
  readonly bytes: number
  readonly sha256: string
}

export class LastCaptures {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Writes the tables as the session sees them, durable; gives the number of the capture. */
  async write(
    session: Session,
    tables: readonly Table[],
    sequences: readonly SequenceValue[],
    encoding: string,
  ): Promise<number> {
    const number = (await this.#numbers()).reduce((highest, each) => Math.max(highest, each), -1) + 1
    const folder = this.#folder(number)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const captured: CapturedTable[] = []
    for (const [nr, table] of tables.entries()) {
      let rows = 0
      const copy = session.copyOut(copyOutStatement(table, encoding))
      const written = await writeRows(path.join(folder, String(nr)), counting())
      captured.push({ table: displayName(table), rows, ...written })

      async function* counting(): AsyncGenerator<Uint8Array> {
        for (let next = await copy.next(); ; next = await copy.next()) {
          if (next.done) {
            rows = next.value
            return
          }
          yield next.value
        }
      }
    }
    const capture: LastCapture = { tables: captured, sequences }
    // Without this file the capture does not count.
    await replaceFile(path.join(folder, 'capture'), [Buffer.from(JSON.stringify(capture))])
    await syncDirectory(this.#directory)
    return number
  }

  async read(number: number): Promise<LastCapture> {
    return JSON.parse(await readFile(path.join(this.#folder(number), 'capture'), 'utf8')) as LastCapture
  }

  rows(number: number, nr: number): AsyncIterable<Uint8Array> {
    return readRows(path.join(this.#folder(number), String(nr)))
  }

  async #numbers(): Promise<number[]> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    const names = await readdir(this.#directory)
    return names.map((name) => Number(/^capture-(\d+)$/.exec(name)?.[1] ?? -1))
  }

  #folder(number: number): string {
    return path.join(this.#directory, `capture-${number}`)
  }
}
