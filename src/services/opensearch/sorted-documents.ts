import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { systemCode } from '../../domain/errors.ts'
import { compareDocuments, type Document, decodeDocuments, encodeDocument } from './documents.ts'

/** How much of an index is sorted in memory at once; what is larger goes through files. */
const runBytes = 33_554_432
const prefix = 'sorting-'
let count = 0

/**
 * Documents in the order of a stream. A server gives them in any order: Elasticsearch refuses to sort by id, and OpenSearch would take all ids into
 * its memory for it. The files lie in `directory`; those of a process that died are taken away by the next.
 */
export async function* sortedDocuments(
  documents: AsyncIterable<Document>,
  directory: string,
  limitBytes = runBytes,
): AsyncGenerator<Document> {
  await removeRuins(directory)
  const own = path.join(directory, `${prefix}${process.pid}-${++count}`)
  const files: string[] = []
  let run: Document[] = []
  let bytes = 0
  try {
    for await (const document of documents) {
      run.push(document)
      bytes += document.source.length + 2 * document.id.length + 200
      if (bytes < limitBytes) continue
      files.push(await writeRun(own, files.length, run))
      run = []
      bytes = 0
    }
    run.sort(compareDocuments)
    if (files.length === 0) yield* run
    else yield* merge([...files.map((file) => decodeDocuments(createReadStream(file))), inMemory(run)])
  } finally {
    await rm(own, { recursive: true, force: true })
  }
}

async function writeRun(directory: string, number: number, run: Document[]): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const file = path.join(directory, String(number))
  const handle = await open(file, 'wx', 0o600)
  try {
    for (const document of run.sort(compareDocuments)) await handle.writeFile(encodeDocument(document))
  } finally {
    await handle.close()
  }
  return file
}

async function* inMemory(run: readonly Document[]): AsyncGenerator<Document> {
  yield* run
}

async function* merge(runs: readonly AsyncGenerator<Document>[]): AsyncGenerator<Document> {
  try {
    const heads: { readonly from: AsyncGenerator<Document>; next: Document }[] = []
    for (const from of runs) {
      const { value, done } = await from.next()
      if (!done) heads.push({ from, next: value })
    }
    while (heads.length > 0) {
      const least = heads.reduce((a, b) => (compareDocuments(b.next, a.next) < 0 ? b : a))
      yield least.next
      const { value, done } = await least.from.next()
      if (done) heads.splice(heads.indexOf(least), 1)
      else least.next = value
    }
  } finally {
    for (const run of runs) await run.return(undefined)
  }
}

async function removeRuins(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => [])
  for (const name of names.filter((each) => each.startsWith(prefix))) {
    const pid = Number(name.slice(prefix.length).split('-')[0])
    if (!isRunning(pid)) await rm(path.join(directory, name), { recursive: true, force: true })
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return systemCode(error) === 'EPERM'
  }
}
