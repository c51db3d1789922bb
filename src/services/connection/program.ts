import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { cancelled, EnvError, messageOf } from '../../domain/errors.ts'
import { killGroup } from '../../system/stream-command.ts'

const readyLine = 'git-env program ready'
const longestStartMs = 30_000
const wordsKept = 4096
const linesShown = 3
const longestShown = 500
const lastWordsMs = 200

export type ProgramOptions = {
  /** What leads to where the program is; none: this machine. */
  readonly run: readonly string[] | undefined
  readonly signal: AbortSignal
  /** What is shown of its last words holds none of these. */
  readonly secrets: readonly string[]
}

/**
 * A program where a server is, on this machine or behind a command prefix. The prefix is given one word, `sh`, and the program's words by standard
 * input, so that no shell on the way can misread a quote. What the program shall read, secrets among it, follows once that shell has
 * become the program. When this process dies, its input and output end.
 */
export class Program {
  readonly name: string
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #options: ProgramOptions
  readonly #ended: Promise<string | undefined>
  readonly #abort = () => this.end()
  #said = Buffer.alloc(0)
  #isOver = false

  private constructor(words: readonly string[], options: ProgramOptions) {
    options.signal.throwIfAborted()
    const [file = 'sh', ...rest] = [...(options.run ?? []), 'sh']
    this.name = words[0]!
    this.#options = options
    this.#child = spawn(file, rest, { detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child.stdin.on('error', () => {})
    this.#child.stderr.on('data', (part: Buffer) => {
      this.#said = Buffer.concat([this.#said, part]).subarray(-wordsKept)
    })
    this.#ended = new Promise((resolve) => {
      this.#child.on('error', (error) => resolve(`it cannot be started: ${messageOf(error)}`))
      this.#child.on('exit', (status, killed) => {
        this.#isOver = true
        options.signal.removeEventListener('abort', this.#abort)
        const say = () => resolve(status === 0 ? undefined : (killed ?? `it ended with status ${status}`))
        if (this.#child.stderr.readableEnded) return say()
        this.#child.stderr.once('end', say)
        setTimeout(say, lastWordsMs)
      })
    })
    options.signal.addEventListener('abort', this.#abort, { once: true })
    this.#child.stdin.write(`echo ${quoted(readyLine)}; exec ${words.map(quoted).join(' ')}\n`)
  }

  /** Resolves when the shell is about to become the program. Throws `unavailable` when nothing answers. */
  static async start(words: readonly string[], options: ProgramOptions): Promise<Program> {
    const program = new Program(words, options)
    const timer = setTimeout(() => program.end(), longestStartMs)
    try {
      const line = await program.#firstLine()
      if (line === readyLine) return program
      throw program.#failed(line === undefined ? ((await program.#ended) ?? 'no answer') : 'something else answered')
    } catch (error) {
      program.end()
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  get input(): Writable {
    return this.#child.stdin
  }

  /** What it prints. Throws once it has ended in any other way than with status 0: a pipe that ends says nothing. */
  async *output(): AsyncGenerator<Uint8Array> {
    for await (const part of this.#child.stdout) yield part as Uint8Array
    await this.success()
  }

  /** Throws `unavailable`, with its last words, when it did not end with status 0. */
  async success(): Promise<void> {
    this.#child.stdout.resume()
    const failure = await this.#ended
    if (this.#options.signal.aborted) throw cancelled()
    if (failure !== undefined) throw this.#failed(failure)
  }

  end(): void {
    this.#options.signal.removeEventListener('abort', this.#abort)
    if (!this.#isOver) killGroup(this.#child.pid)
    for (const pipe of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) pipe.destroy()
  }

  async #firstLine(): Promise<string | undefined> {
    const { stdout } = this.#child
    let head = Buffer.alloc(0)
    const end = new Promise<undefined>((resolve) => stdout.once('close', () => resolve(undefined)))
    for (;;) {
      const part = stdout.read() as Buffer | null
      if (part) head = Buffer.concat([head, part])
      const at = head.indexOf('\n')
      if (at >= 0) {
        if (head.length > at + 1) stdout.unshift(head.subarray(at + 1))
        return head.toString('utf8', 0, at).trim()
      }
      if (stdout.readableEnded || stdout.destroyed) return undefined
      await Promise.race([new Promise((resolve) => stdout.once('readable', resolve)), end])
    }
  }

  #failed(how: string): EnvError {
    const hidden = this.#options.secrets.filter((secret) => secret !== '')
    const text = hidden.reduce((shown, secret) => shown.replaceAll(secret, '***'), this.#said.toString('utf8'))
    const lines = text.trim().split('\n').slice(-linesShown)
    const said = lines
      .map((line) => line.trim())
      .join(' / ')
      .slice(-longestShown)
    const { run } = this.#options
    return new EnvError(
      'unavailable',
      `${this.name}${run ? ` (by ${run.join(' ')})` : ''}: ${how}${said === '' ? '' : `: ${said}`}`,
      how.endsWith(' 127') ? { hint: `install ${this.name} there, or say by run: where it is` } : {},
    )
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
