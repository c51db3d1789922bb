import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { cancelled, messageOf } from '../domain/errors.ts'
import type { CommandOptions } from './run-command.ts'

export type StreamOptions = CommandOptions & {
  readonly signal: AbortSignal
  /** What is shown of a command's last words holds none of these. */
  readonly secrets: readonly string[]
}

/** How a command failed, for people: how it ended and the last lines that it said on standard error. */
export class CommandFailure extends Error {}

/**
 * What a command prints on standard output, as it comes. Throws once it has ended in any other way than with status 0: a pipe that ends says nothing.
 * Whoever stops reading ends it.
 */
export async function* commandOutput(words: readonly string[], options: StreamOptions): AsyncGenerator<Uint8Array> {
  const program = new Program(words, options, 'ignore')
  try {
    for await (const part of program.output) yield part as Uint8Array
    await program.success()
  } catch (error) {
    // A pipe that breaks because the command was ended is not the reason.
    await program.success()
    throw error
  } finally {
    program.end()
  }
}

/** Runs a command with a file as its standard input, which it reads to the end also when this process dies. */
export async function feedCommand(
  words: readonly string[],
  file: string,
  options: StreamOptions & { readonly started: (pid: number) => void },
): Promise<void> {
  const input = openSync(file, 'r')
  let program: Program
  try {
    program = new Program(words, options, input)
  } finally {
    closeSync(input)
  }
  try {
    if (program.pid !== undefined) options.started(program.pid)
    program.output.resume()
    await program.success()
  } finally {
    program.end()
  }
}

const wordsKept = 4096
const linesShown = 3
const longestShown = 500
/** How long last words may take to arrive after the end: something that was started may keep the pipe open for ever. */
const lastWordsMs = 200

class Program {
  readonly output: Readable
  readonly #child: ChildProcess
  readonly #options: StreamOptions
  readonly #ended: Promise<string | undefined>
  readonly #timer: NodeJS.Timeout
  readonly #abort: () => void
  #isOver = false
  #isLate = false
  #said = Buffer.alloc(0)

  constructor(words: readonly string[], options: StreamOptions, input: 'ignore' | number) {
    options.signal.throwIfAborted()
    const { directory, environment, limitMs, signal } = options
    this.#options = options
    // In a group of its own, which ends as a whole.
    this.#child = spawn(words[0]!, words.slice(1), {
      cwd: directory,
      env: environment,
      detached: true,
      stdio: [input, 'pipe', 'pipe'],
    })
    this.output = this.#child.stdout!
    this.#child.stderr!.on('data', (part: Buffer) => {
      this.#said = Buffer.concat([this.#said, part]).subarray(-wordsKept)
    })
    this.#ended = new Promise((resolve) => {
      this.#child.on('error', (error) => resolve(`it cannot be started: ${messageOf(error)}`))
      this.#child.on('exit', (status, killed) => {
        const how = killed === null ? `it ended with status ${status}` : `it was ended by ${killed}`
        const say = () => resolve(status === 0 ? undefined : how)
        if (this.#child.stderr!.readableEnded) say()
        else {
          this.#child.stderr!.once('end', say)
          setTimeout(say, lastWordsMs)
        }
      })
    })
    this.#ended.then(() => {
      this.#isOver = true
    })
    this.#timer = setTimeout(() => {
      this.#isLate = true
      this.end()
    }, limitMs)
    this.#abort = () => this.end()
    signal.addEventListener('abort', this.#abort, { once: true })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  async success(): Promise<void> {
    const failure = await this.#ended
    if (this.#options.signal.aborted) throw cancelled()
    if (this.#isLate)
      throw new CommandFailure(`it did not end within ${this.#options.limitMs / 1000} s${this.#words()}`)
    if (failure !== undefined) throw new CommandFailure(`${failure}${this.#words()}`)
  }

  /** With everything that it started and that stayed in its group. */
  end(): void {
    clearTimeout(this.#timer)
    this.#options.signal.removeEventListener('abort', this.#abort)
    if (!this.#isOver) killGroup(this.#child.pid)
    this.output.destroy()
    this.#child.stderr!.destroy()
  }

  #words(): string {
    const text = hide(this.#said.toString('utf8'), this.#options.secrets)
    const lines = text.trim().split('\n').slice(-linesShown)
    const shown = lines
      .map((line) => line.trim())
      .join(' / ')
      .slice(-longestShown)
    return shown === '' ? '' : `: ${shown}`
  }
}

/** Shorter ones are words like any other, and hiding them would only tell what they are. */
const shortestSecret = 4

function hide(text: string, secrets: readonly string[]): string {
  const hidden = secrets.filter((secret) => secret.length >= shortestSecret).toSorted((a, b) => b.length - a.length)
  return hidden.reduce((shown, secret) => shown.replaceAll(secret, '***'), text)
}

export function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
