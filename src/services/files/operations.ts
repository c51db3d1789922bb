import { createReadStream } from 'node:fs'
import { EnvError } from '../../domain/errors.ts'
import type { TreeEntry } from '../../domain/tree.ts'
import { replaceFile } from '../../system/durable-file.ts'
import type { Metadata } from './walk.ts'

/** An inode that was staged. */
export type Stamp = {
  readonly type: TreeEntry['type']
  readonly inode: string
  readonly bytes: number
  readonly metadata: Metadata
}

/** `number` names the set-aside: what stood at the path goes to `old/<number>` in the staging area. `place` is below that area. */
export type Put = {
  readonly kind: 'put'
  readonly number: number
  readonly path: string
  readonly place: string
  readonly stamp: Stamp
  readonly old?: Metadata
}
/** Comes with the put before it, inside its folder. */
export type Part = { readonly kind: 'part'; readonly path: string; readonly stamp: Stamp }
export type Removal = {
  readonly kind: 'removal'
  readonly number: number
  readonly path: string
  readonly old?: Metadata
}
export type Change = {
  readonly kind: 'change'
  readonly path: string
  readonly type: TreeEntry['type']
  readonly old: Metadata
  readonly new: Metadata
}
export type Operation = Put | Part | Removal | Change

/** Writes a list of plain values as lines of JSON, durable; numbers of nanoseconds as text. */
export async function writeLines(file: string, values: Iterable<unknown>): Promise<void> {
  const parts: Buffer[] = []
  let text = ''
  for (const value of values) {
    text += `${JSON.stringify(value, (_key, each) => (typeof each === 'bigint' ? String(each) : each))}\n`
    if (text.length > 1 << 18) {
      parts.push(Buffer.from(text))
      text = ''
    }
  }
  await replaceFile(file, [...parts, Buffer.from(`${text}end\n`)])
}

/** Lines as written; throws `damaged` when they do not end as they should. */
export async function* readLines(file: string): AsyncGenerator<unknown> {
  let rest = ''
  let ended = false
  try {
    for await (const part of createReadStream(file, { encoding: 'utf8' })) {
      const lines = (rest + part).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (line === 'end') ended = true
        else yield JSON.parse(line, (key, each) => (key === 'mtimeNs' ? BigInt(each as string) : each))
      }
    }
  } catch (cause) {
    throw new EnvError('damaged', `${file}: cannot be read`, { cause })
  }
  if (!ended) throw new EnvError('damaged', `${file}: is cut short`)
}

export async function readOperations(file: string): Promise<Operation[]> {
  const operations: Operation[] = []
  for await (const value of readLines(file)) operations.push(value as Operation)
  return operations
}
