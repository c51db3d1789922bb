import type { Readable } from 'node:stream'
import { GitError, type SimpleGitOptions, simpleGit } from 'simple-git'
import { EnvError, messageOf } from '../domain/errors.ts'

export type RunOptions = {
  /** Bytes for the command's standard input, which always ends after them. A string is a byte string. */
  readonly input?: string | Uint8Array
  /** Laid over the environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Where to run; else the place this Git was opened for. */
  readonly directory?: string
  /** Exit statuses that are an answer and no failure. 0 always is. */
  readonly answers?: readonly number[]
  /** Finish even when the activity is cancelled: for steps that may not be cut in the middle. */
  readonly uninterrupted?: boolean
}

export type GitResult = { readonly exitCode: number; readonly stdout: Buffer; readonly stderr: string }

/** Runs Git commands. Every one of ours goes through here. */
export interface Git {
  run(args: readonly string[], options?: RunOptions): Promise<GitResult>
  /** Standard output as text, without the final newline. */
  text(args: readonly string[], options?: RunOptions): Promise<string>
  /** Standard output as text, or undefined when the command exits with 1: its way to say no. */
  ask(args: readonly string[], options?: RunOptions): Promise<string | undefined>
  /** Standard output of `-z` commands: byte strings that end with NUL. */
  list(args: readonly string[], options?: RunOptions): Promise<string[]>
}

/** A Git command that failed: its status and what it said. simple-git flattens every error that is not a `GitError` to a string. */
export class GitFailure extends GitError {
  readonly exitCode: number
  readonly stderr: string

  constructor(args: readonly string[], exitCode: number, stderr: string) {
    super(undefined, `git ${commandOf(args)}: ${firstLine(stderr) || `exit status ${exitCode}`}`)
    this.name = 'GitFailure'
    this.exitCode = exitCode
    this.stderr = stderr
  }
}

export type GitOptions = {
  readonly directory: string
  /** The whole environment of the commands. */
  readonly environment: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

export function createGit(options: GitOptions): Git {
  const run = async (args: readonly string[], given: RunOptions = {}) => runGit(options, args, given)
  return {
    run,
    text: async (args, given) => chomp((await run(args, given)).stdout.toString('utf8')),
    ask: async (args, given) => {
      const { exitCode, stdout } = await run(args, { ...given, answers: [1] })
      return exitCode === 0 ? chomp(stdout.toString('utf8')) : undefined
    },
    list: async (args, given) => {
      const records = (await run(args, given)).stdout.toString('latin1').split('\0')
      records.pop()
      return records
    },
  }
}

async function runGit(options: GitOptions, args: readonly string[], given: RunOptions): Promise<GitResult> {
  const result = { exitCode: 0, stdout: [] as Buffer[], stderr: '' }
  const git = simpleGit(settings(options, args, given, result))
  const environment = { ...options.environment, ...given.env }
  git.env(Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined)))
  const cancelled = given.uninterrupted ? undefined : options.signal
  git.outputHandler((_command, stdout, stderr) => {
    stdout.on('data', (part: Buffer) => result.stdout.push(part))
    // simple-git waits 50 ms after a command that printed nothing; an empty part counts as print.
    stdout.once('end', () => stdout.emit('data', Buffer.alloc(0)))
    // What the command itself has started may keep its output open long after it was killed.
    const letGo = () => [stdout, stderr].forEach((stream) => void (stream as Readable).destroy())
    cancelled?.addEventListener('abort', letGo, { once: true })
    stdout.once('close', () => cancelled?.removeEventListener('abort', letGo))
  })
  try {
    await git.raw([...args])
  } catch (error) {
    if (error instanceof GitFailure) throw explain(error)
    if (options.signal?.aborted && !given.uninterrupted) throw new EnvError('cancelled', 'cancelled', { cause: error })
    throw new EnvError('unavailable', `git ${commandOf(args)} did not run`, {
      hint: /ENOENT/.test(messageOf(error)) ? 'git must be installed and on the PATH' : undefined,
      cause: error,
    })
  }
  return { exitCode: result.exitCode, stdout: Buffer.concat(result.stdout), stderr: result.stderr }
}

function settings(
  options: GitOptions,
  args: readonly string[],
  given: RunOptions,
  result: { exitCode: number; stderr: string },
): Partial<SimpleGitOptions> {
  const { input = '' } = given
  return {
    baseDir: given.directory ?? options.directory,
    // A Buffer, also an empty one, closes standard input; nothing at all would leave it open and some commands waiting for ever.
    input: () => (typeof input === 'string' ? Buffer.from(input, 'latin1') : Buffer.from(input)),
    allowEnvironment: Object.keys({ ...options.environment, ...given.env }),
    unsafe: everythingAllowed,
    completion: { onExit: false },
    errors: (error, { exitCode, stdErr }) => {
      result.exitCode = exitCode
      result.stderr = Buffer.concat(stdErr).toString('utf8')
      if (options.signal?.aborted && !given.uninterrupted) return error
      if (exitCode < 0) return new GitError(undefined, result.stderr)
      return exitCode === 0 || given.answers?.includes(exitCode)
        ? undefined
        : new GitFailure(args, exitCode, result.stderr)
    },
    ...(options.signal && !given.uninterrupted ? { abort: options.signal } : {}),
  }
}

/**
 * simple-git guards programs that pass a stranger's text on as arguments, and takes a user's own `GIT_SSH_COMMAND` or message for an attack.
 * Here arguments are our own, full ref names and object ids; user text goes by standard input; and the environment is the user's.
 */
const everythingAllowed: Required<NonNullable<SimpleGitOptions['unsafe']>> = {
  allowAbbreviatedOptions: true,
  allowUnsafeAlias: true,
  allowUnsafeAskPass: true,
  allowUnsafeCommandBinaries: true,
  allowUnsafeConfigEnvCount: true,
  allowUnsafeConfigPaths: true,
  allowUnsafeCredentialHelper: true,
  allowUnsafeCustomBinary: false,
  allowUnsafeDiffExternal: true,
  allowUnsafeDiffTextConv: true,
  allowUnsafeEditor: true,
  allowUnsafeExec: true,
  allowUnsafeFilter: true,
  allowUnsafeFsMonitor: true,
  allowUnsafeGitProxy: true,
  allowUnsafeGpgProgram: true,
  allowUnsafeHooksPath: true,
  allowUnsafeInclude: true,
  allowUnsafeMergeDriver: true,
  allowUnsafePack: true,
  allowUnsafePager: true,
  allowUnsafeProtocolOverride: true,
  allowUnsafeSshCommand: true,
  allowUnsafeSubmodule: true,
  allowUnsafeTemplateDir: true,
  allowUnsafeUrlRewrite: true,
}

/** The failure of the Git command behind an error, if that is what it was. */
export function gitFailure(error: unknown): GitFailure | undefined {
  const cause = error instanceof EnvError ? error.cause : error
  return cause instanceof GitFailure ? cause : undefined
}

/** Failures that have a cause of their own, whatever the command was. */
function explain(failure: GitFailure): EnvError {
  const { stderr } = failure
  if (/dubious ownership/.test(stderr)) {
    return new EnvError('refused', 'this repository belongs to another user', {
      hint: /git config --global --add safe\.directory .*/.exec(stderr)?.[0],
      cause: failure,
    })
  }
  if (/Please tell me who you are|empty ident name|no email was given|unable to auto-detect email/.test(stderr)) {
    return new EnvError('refused', 'git does not know who makes this commit', {
      hint: 'git config user.name "…" and git config user.email "…"',
      cause: failure,
    })
  }
  return new EnvError('unavailable', failure.message, { cause: failure })
}

/** The subcommand, past options of git itself such as `-c name=value`. */
function commandOf(args: readonly string[]): string {
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '-c') i++
    else if (!args[i]!.startsWith('-')) return args[i]!
  }
  return args.join(' ')
}

function firstLine(text: string): string {
  return (
    text
      .split('\n')
      .find((line) => line.trim() !== '')
      ?.replace(/^(fatal|error): /, '')
      .trim() ?? ''
  )
}

function chomp(text: string): string {
  return text.endsWith('\n') ? text.slice(0, -1) : text
}
