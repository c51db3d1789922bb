import { spawnSync } from 'node:child_process'
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { GitRepository } from '../../src/git/git-repository.ts'
import { openGitRepository } from '../../src/git/open-repository.ts'
import { temporaryDirectory } from './temporary.ts'

/** Variables under which Git sees no configuration but a repository's own, and commits have fixed people and dates. */
export function isolatedEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(GIT_|EMAIL$|XDG_CONFIG_HOME$)/.test(name))
  return {
    ...(Object.fromEntries(inherited) as Record<string, string>),
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_SYSTEM: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'Ada',
    GIT_AUTHOR_EMAIL: 'ada@example.org',
    GIT_COMMITTER_NAME: 'Ada',
    GIT_COMMITTER_EMAIL: 'ada@example.org',
    GIT_TERMINAL_PROMPT: '0',
    ...more,
  }
}

export type Sandbox = {
  /** The work tree, or the bare repository itself. */
  readonly directory: string
  readonly environment: Record<string, string>
  /** Runs git, fails on a non-zero status, gives standard output without the final newline. */
  git(...args: string[]): string
  gitIn(directory: string, ...args: string[]): string
  /** Runs git with bytes on standard input. */
  gitWith(input: string | Uint8Array, ...args: string[]): string
  write(name: string, content: string | Uint8Array, mode?: number): void
  read(name: string): string
  /** Adds everything and commits; gives the commit. */
  commit(message: string): string
  open(directory?: string, more?: Readonly<Record<string, string>>): Promise<GitRepository>
}

/** Real git in a folder that is gone when the test ends. */
export async function gitSandbox(options: { readonly init?: readonly string[] } = {}): Promise<Sandbox> {
  const directory = path.join(await temporaryDirectory(), 'project')
  mkdirSync(directory)
  const sandbox = sandboxIn(directory)
  sandbox.git('init', '-q', '-b', 'main', ...(options.init ?? []))
  return sandbox
}

export function sandboxIn(directory: string, environment = isolatedEnvironment()): Sandbox {
  const run = (cwd: string, args: string[], input: string | Uint8Array = '') => {
    const result = spawnSync('git', args, { cwd, env: environment, input, maxBuffer: 1 << 28 })
    if (result.status !== 0) throw new Error(`git ${args.join(' ')}: ${result.status} ${result.stderr}`)
    return result.stdout.toString('utf8').replace(/\n$/, '')
  }
  const sandbox: Sandbox = {
    directory,
    environment,
    git: (...args) => run(directory, args),
    gitIn: (cwd, ...args) => run(cwd, args),
    gitWith: (input, ...args) => run(directory, args, input),
    write: (name, content, mode) => {
      mkdirSync(path.dirname(path.join(directory, name)), { recursive: true })
      writeFileSync(path.join(directory, name), content, mode === undefined ? {} : { mode })
    },
    read: (name) => readFileSync(path.join(directory, name), 'utf8'),
    commit: (message) => {
      run(directory, ['add', '-A'])
      run(directory, ['commit', '-q', '--allow-empty', '-m', message])
      return run(directory, ['rev-parse', 'HEAD'])
    },
    open: (cwd = directory, more = {}) =>
      openGitRepository(cwd, { environment: { ...environment, ...more }, backoffMs: () => Math.random() * 30 }),
  }
  return sandbox
}

/** Every file of a folder but `.git`: its kind, whether it may be run, and its bytes, by byte-string path. */
export function filesIn(directory: string): Record<string, string> {
  const found: Record<string, string> = {}
  const walk = (folder: Buffer, prefix: string) => {
    for (const entry of readdirSync(folder, { encoding: 'buffer' })) {
      const name = prefix + entry.toString('latin1')
      if (name === '.git') continue
      const file = Buffer.concat([folder, Buffer.from('/'), entry])
      const stats = lstatSync(file)
      if (stats.isDirectory()) walk(file, `${name}/`)
      else if (stats.isSymbolicLink())
        found[name] = `link ${readlinkSync(file, { encoding: 'buffer' }).toString('latin1')}`
      else found[name] = `${stats.mode & 0o100 ? 'run' : 'file'} ${readFileSync(file).toString('latin1')}`
    }
  }
  walk(Buffer.from(directory), '')
  return found
}
