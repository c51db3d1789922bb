import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/** The management plugin tells for about so long that messages are in somebody's hands which nobody has any more. */
export const staleMs = 7000

type Note = { readonly at: number; readonly most: Readonly<Record<string, number>> }

const noteIn = (privateDirectory: string) => path.join(privateDirectory, 'given-back')

/** Remembers how many messages of each queue were in our hands at most, when we have given them back and nobody else had any. */
export function noteGivenBack(privateDirectory: string, most: ReadonlyMap<string, number>): void {
  const note: Note = { at: Date.now(), most: Object.fromEntries(most) }
  mkdirSync(privateDirectory, { recursive: true, mode: 0o700 })
  writeFileSync(noteIn(privateDirectory), JSON.stringify(note), { mode: 0o600 })
}

/** Whether those that the management plugin says to be in somebody's hands can only be those that were in ours. */
export function wereOurs(privateDirectory: string): (queue: string, unacknowledged: number) => boolean {
  const note = readNote(privateDirectory)
  const age = Date.now() - (note?.at ?? 0)
  if (!note || age < 0 || age > staleMs) return () => false
  return (queue, unacknowledged) => Object.hasOwn(note.most, queue) && unacknowledged <= note.most[queue]!
}

/** What cannot be read, or was cut short, is as if there were none: then the plugin is waited for. */
function readNote(privateDirectory: string): Note | undefined {
  try {
    return JSON.parse(readFileSync(noteIn(privateDirectory), 'utf8')) as Note
  } catch {
    return undefined
  }
}
