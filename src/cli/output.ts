import { styleText } from 'node:util'
import { EnvError } from '../domain/errors.ts'
import { printable } from '../domain/format-text.ts'
import { errorData } from '../usecases/error-data.ts'

/** Where a command prints: text for people, or with `--json` one JSON value, the last thing on standard output. */
export class Output {
  readonly json: boolean
  readonly quiet: boolean

  constructor(options: { readonly json: boolean; readonly quiet: boolean }) {
    this.json = options.json
    this.quiet = options.quiet
  }

  /** A line for people. What came from outside must have gone through `printable`. */
  line(text = ''): void {
    if (!this.json && !this.quiet) process.stdout.write(`${text}\n`)
  }

  /** Many lines at once: a write each would take longer than all else for thousands of them. */
  lines(lines: readonly string[]): void {
    if (lines.length > 0) this.line(lines.join('\n'))
  }

  /** The result as data. */
  result(value: unknown): void {
    if (this.json) process.stdout.write(`${JSON.stringify(value, jsonValue, 2)}\n`)
  }

  warn(text: string): void {
    process.stderr.write(`${styleText('yellow', 'warning:', { stream: process.stderr })} ${text}\n`)
  }

  hint(text: string): void {
    if (!this.json && !this.quiet)
      process.stderr.write(`${styleText('cyan', 'hint:', { stream: process.stderr })} ${text}\n`)
  }

  /** As git prints them: error, cause, hint. Gives the exit status. */
  error(error: unknown): number {
    if (this.json) process.stdout.write(`${JSON.stringify({ error: errorData(error) }, undefined, 2)}\n`)
    const data = errorData(error)
    const red = styleText('red', 'error:', { stream: process.stderr })
    process.stderr.write(`${red} ${escapeLines(data.message)}\n`)
    if (data.cause !== undefined && !data.message.includes(data.cause)) {
      process.stderr.write(`cause: ${escapeLines(data.cause)}\n`)
    }
    if (data.hint !== undefined)
      process.stderr.write(`${styleText('cyan', 'hint:', { stream: process.stderr })} ${escapeLines(data.hint)}\n`)
    if (!(error instanceof EnvError) && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`)
    return error instanceof EnvError ? error.exitCode : 1
  }

  /** Asks on the terminal; without one the answer must have been given with `--yes`. */
  async confirm(question: string, yes: boolean): Promise<void> {
    if (yes) return
    if (!process.stdin.isTTY || !process.stderr.isTTY || this.json) {
      throw new EnvError('refused', 'this needs to be confirmed, and there is no terminal to ask at', {
        hint: 'give --yes to go ahead, or --dry-run to see what would happen',
      })
    }
    const { createInterface } = await import('node:readline/promises')
    const terminal = createInterface({ input: process.stdin, output: process.stderr })
    const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')))
    const answer = await Promise.race([terminal.question(`${question} [y/N] `), closed])
      .catch(() => {
        throw new EnvError('cancelled', 'cancelled', { hint: 'nothing was changed' })
      })
      .finally(() => terminal.close())
    if (!/^y(es)?$/i.test(answer.trim()))
      throw new EnvError('refused', 'not confirmed', { hint: 'nothing was changed' })
  }
}

function escapeLines(text: string): string {
  return text.split('\n').map(printable).join('\n       ')
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  return value instanceof Set ? [...value] : value
}
