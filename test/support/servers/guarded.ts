import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'

export type Guarded = ChildProcessByStdio<Writable, Readable, null>

/** A shell that knows by its standard input when this process is gone. */
export function guarded(words: readonly string[]): Guarded {
  return spawn('sh', words, { stdio: ['pipe', 'pipe', 'ignore'], detached: true })
}

/** It keeps this process from ending while it is waited for, and else not. */
export function waitFor(child: Guarded, isAwaited: boolean): void {
  const streams = [child.stdin, child.stdout] as unknown as { ref(): void; unref(): void }[]
  for (const each of [child, ...streams]) {
    if (isAwaited) each.ref()
    else each.unref()
  }
}

/** What the shell says first: the id of the process that it started. */
export async function firstNumber(child: Guarded): Promise<number> {
  const number = await new Promise<number>((resolve) => {
    child.stdout.once('data', (text: Buffer) => resolve(Number(text)))
  })
  waitFor(child, false)
  return number
}
