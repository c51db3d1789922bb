import { fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { SampleWriter } from '../contract/service-driver.ts'

/**
 * A process that makes files `written/1`, `written/2`, … and reports each when it is whole and durable. It makes the folder when it is gone. With `control` it stands still
 * while the file `stopped` is in that folder; while it does not, it has `writing` there.
 */
export async function startFileWriter(root: string, control = ''): Promise<SampleWriter> {
  const child = fork(fileURLToPath(import.meta.url), ['write', root, control], { execArgv: ['--no-warnings'] })
  const acknowledged: number[] = []
  child.on('message', (number: number) => acknowledged.push(number))
  const exited = once(child, 'exit')
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const stop = async () => {
    if (child.connected) child.send('stop')
    await exited
    return acknowledged
  }
  return { acknowledged: () => acknowledged, stop }
}

/** The numbers of the files that are there, ascending. */
export function writtenFiles(root: string): number[] {
  try {
    return readdirSync(path.join(root, 'written'))
      .map(Number)
      .sort((a, b) => a - b)
  } catch {
    return []
  }
}

async function write(root: string, control: string): Promise<void> {
  let stopping = false
  process.once('message', () => {
    stopping = true
  })
  process.once('disconnect', () => process.exit())
  for (let number = 1; !stopping; number++) {
    if (control !== '') await untilStarted(control)
    try {
      mkdirSync(path.join(root, 'written'), { recursive: true })
      const descriptor = openSync(path.join(root, 'written', String(number)), 'wx')
      writeSync(descriptor, `file ${number}`)
      fsyncSync(descriptor)
      closeSync(descriptor)
      process.send!(number)
    } catch (error) {
      // A number that an earlier writer took is passed over; anything else is a folder that was moved just now.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') number--
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  if (control !== '') rmSync(path.join(control, 'writing'), { force: true })
  process.disconnect()
}

async function untilStarted(control: string): Promise<void> {
  const writing = path.join(control, 'writing')
  for (;;) {
    closeSync(openSync(writing, 'w'))
    if (!existsSync(path.join(control, 'stopped'))) return
    rmSync(writing)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

if (process.argv[2] === 'write' && process.send) await write(process.argv[3]!, process.argv[4]!)
