import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { RecordCursor } from './record-cursor.ts'
import { cutRecords, type KeyRecord, keysHeader, readRecord, recordHead, recordLength, writeRecord } from './records.ts'
import { sortKeys } from './sort-keys.ts'

/** So many bytes are sorted in memory; more go into files of the service's own folder until they are merged. */
const usualRun = 64 * 2 ** 20
const partLength = 1 << 18

/**
 * Puts keys into the order of their bytes, however many they are. A key that is given twice counts once, as it was given last.
 */
export class KeySorter {
  readonly #directory: string
  readonly #longestRun: number
  #arena = Buffer.allocUnsafe(1 << 20)
  #used = 0
  #lengths: number[] = []
  #starts: number[] = []
  #folder: string | undefined
  #runs = 0
  #count = 0

  /** `directory`: of the service alone; made when it is needed. */
  constructor(directory: string, longestRun = usualRun) {
    this.#directory = directory
    this.#longestRun = longestRun
  }

  add(record: KeyRecord): void {
    const end = this.#used + recordLength(record.key, record.value)
    if (end > this.#longestRun && this.#used > 0) {
      this.#spill()
      this.add(record)
      return
    }
    if (end > this.#arena.length) {
      const larger = Buffer.allocUnsafe(Math.max(end, this.#arena.length * 2))
      this.#arena.copy(larger, 0, 0, this.#used)
      this.#arena = larger
    }
    this.#lengths.push(record.key.length)
    this.#starts.push(this.#used)
    this.#used = writeRecord(this.#arena, this.#used, record)
  }

  /** Keys that `sorted` gave. */
  get count(): number {
    return this.#count
  }

  /** The bytes of a stream of keys. Once only. */
  async *sorted(): AsyncGenerator<Buffer> {
    yield keysHeader
    for await (const batch of this.batches()) yield Buffer.concat(batch)
  }

  /** Records in order. Once only. */
  async *batches(): AsyncGenerator<Buffer[]> {
    this.#count = 0
    if (this.#runs > 0) this.#spill()
    for await (const batch of this.#runs === 0 ? inBatches(this.#sortedRun()) : this.#merged()) {
      this.#count += batch.length
      yield batch
    }
  }

  close(): void {
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true })
    this.#folder = undefined
    this.#lengths = []
    this.#starts = []
    this.#arena = Buffer.alloc(0)
  }

  *#sortedRun(): Generator<Buffer> {
    const [arena, starts, lengths] = [this.#arena, this.#starts, this.#lengths]
    const order = sortKeys(arena, starts, lengths, recordHead)
    for (let nr = 0; nr < order.length; nr++) {
      const at = order[nr]!
      if (nr + 1 < order.length && this.#isSame(at, order[nr + 1]!)) continue
      yield arena.subarray(starts[at]!, at + 1 < starts.length ? starts[at + 1]! : this.#used)
    }
  }

  #isSame(a: number, b: number): boolean {
    const length = this.#lengths[a]!
    if (length !== this.#lengths[b]!) return false
    const [from, other] = [this.#starts[a]! + recordHead, this.#starts[b]! + recordHead]
    for (let at = length - 1; at >= 0; at--) if (this.#arena[from + at] !== this.#arena[other + at]) return false
    return true
  }

  #spill(): void {
    if (this.#folder === undefined) {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
      this.#folder = mkdtempSync(path.join(this.#directory, 'sorting-'))
    }
    const descriptor = openSync(path.join(this.#folder, String(this.#runs)), 'wx', 0o600)
    this.#runs++
    try {
      write(descriptor, keysHeader)
      for (const batch of inBatches(this.#sortedRun())) write(descriptor, Buffer.concat(batch))
    } finally {
      closeSync(descriptor)
    }
    this.#lengths = []
    this.#starts = []
    this.#used = 0
  }

  async *#merged(): AsyncGenerator<Buffer[]> {
    const runs = await Promise.all(Array.from({ length: this.#runs }, (_, nr) => this.#openRun(nr)))
    let batch: Buffer[] = []
    let length = 0
    for (;;) {
      let first: RecordCursor | undefined
      for (const run of runs) {
        if (run.record === undefined) continue
        // Of equal keys the one of the later run counts.
        const order = first === undefined ? -1 : compareRecords(run.record, first.record!)
        if (order === 0 && !first!.next()) await first!.read()
        if (order <= 0) first = run
      }
      if (first === undefined) break
      batch.push(first.record!)
      length += first.record!.length
      if (!first.next()) await first.read()
      if (length < partLength) continue
      yield batch
      batch = []
      length = 0
    }
    if (batch.length > 0) yield batch
  }

  async #openRun(nr: number): Promise<RecordCursor> {
    const run = new RecordCursor(cutRecords(readFile(path.join(this.#folder!, String(nr))), keysHeader))
    await run.read()
    return run
  }
}

function compareRecords(a: Buffer, b: Buffer): number {
  return Buffer.compare(readRecord(a).key, readRecord(b).key)
}

function* inBatches(records: Iterable<Buffer>): Generator<Buffer[]> {
  let batch: Buffer[] = []
  let length = 0
  for (const record of records) {
    batch.push(record)
    length += record.length
    if (length < partLength) continue
    yield batch
    batch = []
    length = 0
  }
  if (batch.length > 0) yield batch
}

function write(descriptor: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at)
}

async function* readFile(file: string): AsyncGenerator<Uint8Array> {
  const handle = await open(file)
  try {
    for (;;) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(partLength))
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}
