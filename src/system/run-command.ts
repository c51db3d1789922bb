import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { messageOf } from '../domain/errors.ts'

export type CommandOptions = {
  readonly directory: string
  readonly environment: Readonly<Record<string, string | undefined>>
  /** After so long the command is ended, with everything it started that stayed in its process group. */
  readonly limitMs: number
}

export type CommandResult = {
  /** undefined when it worked; else why not, for people: how it ended and the last line that it printed. */
  readonly failure: string | undefined
}

/** A command that waits until it is let run. */
export type ArmedCommand = { fire(): Promise<CommandResult> }

/** Runs a command to its end. Never throws: what goes wrong is in the result. */
export function runCommand(words: readonly string[], options: CommandOptions): Promise<CommandResult> {
  return armCommand(words, options).fire()
}

/**
 * Starts a process that runs the command once it is fired, or when this process dies in any way: its standard input, a pipe from here, ends then.
 * It is in a session of its own, so that a Ctrl-C at the terminal does not end it too.
 */
export function armCommand(
  words: readonly string[],
  { directory, environment, limitMs }: CommandOptions,
): ArmedCommand {
  // A file, not a pipe: when this process is gone the command must still be able to print.
  const place = mkdtempSync(path.join(tmpdir(), 'git-env-'))
  const output = openSync(path.join(place, 'output'), 'w')
  const child = spawn('sh', ['-c', 'cat >/dev/null; exec "$@" </dev/null', 'sh', ...words], {
    cwd: directory,
    detached: true,
    env: environment,
    stdio: ['pipe', output, output],
  })
  closeSync(output)
  let isOver = false
  const ended = new Promise<CommandResult>((resolve) => {
    const end = (how: string | undefined) => {
      const printed = readFileSync(path.join(place, 'output'), 'utf8').trim().split('\n').at(-1)!
      rmSync(place, { recursive: true, force: true })
      resolve({ failure: how === undefined ? undefined : printed === '' ? how : `${how}: ${printed.slice(0, 300)}` })
    }
    child.on('error', (error) => end(messageOf(error)))
    child.on('exit', (status, signal) => {
      if (isOver) end(`it did not end within ${limitMs / 1000} s`)
      else if (status === 0) end(undefined)
      else end(status === null ? `it was ended by ${signal}` : `it ended with status ${status}`)
    })
  })
  child.stdin!.on('error', () => {})
  return {
    async fire() {
      child.stdin!.end()
      const timer = setTimeout(() => {
        isOver = true
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      }, limitMs)
      return ended.finally(() => clearTimeout(timer))
    },
  }
}
