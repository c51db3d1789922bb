/**
 * Every way in which git-env can fail, and the exit status that tells a script which kind it was.
 * One table: the README, `--help` and the tests read it.
 */
export const exitCodes = {
  bug: { exit: 1, meaning: 'a fault in git-env itself' },
  usage: { exit: 2, meaning: 'the command line or the configuration is wrong' },
  refused: { exit: 3, meaning: 'refused, nothing was changed; the hint says what would help' },
  'not-found': { exit: 4, meaning: 'no such snapshot, environment, service or store' },
  damaged: { exit: 5, meaning: 'stored data is damaged or missing' },
  unavailable: { exit: 6, meaning: 'a service, a file system or the store could not be used' },
  busy: { exit: 7, meaning: 'another activity runs in this environment, or writers could not be held in time' },
  unfinished: { exit: 8, meaning: 'a restore was cut short and waits for `git env recover`' },
  cancelled: { exit: 130, meaning: 'cancelled by Ctrl-C or a signal; nothing is left half done' },
} as const

export type ErrorCode = keyof typeof exitCodes

export type ErrorOptions = {
  /** What to do next: a whole sentence fragment in lower case, with the command to type where there is one. */
  readonly hint?: string
  readonly cause?: unknown
  /** Facts for `--json`. Never a secret. */
  readonly details?: Readonly<Record<string, unknown>>
}

/** The one error class. `message` is lower case, has no full stop, and names the thing and its value. */
export class EnvError extends Error {
  override readonly name = 'EnvError'
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly details: Readonly<Record<string, unknown>> | undefined

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint
    this.details = options.details
  }

  get exitCode(): number {
    return exitCodes[this.code].exit
  }
}

/** What an abort ends as. */
export function cancelled(): EnvError {
  return new EnvError('cancelled', 'cancelled', { hint: 'nothing was left half done' })
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The `code` of a Node system error (`ENOENT`, `ENOSPC`, …), if it has one. */
export function systemCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : undefined
}
