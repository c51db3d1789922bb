import { Output } from './cli/output.ts'
import { run } from './cli/program.ts'
import { TerminalProgress } from './cli/terminal-progress.ts'
import { cancelled, EnvError } from './domain/errors.ts'
import { packageVersion, wire } from './wiring.ts'

/** Runs one command of the CLI; resolves to its exit status. `entry` is the file that starts this program. */
export async function main(argv: readonly string[], entry: string): Promise<number> {
  const json = argv.includes('--json')
  const output = new Output({ json, quiet: argv.includes('-q') || argv.includes('--quiet') })
  const progress = new TerminalProgress({
    live: process.stderr.isTTY === true && !json,
    write: (text) => process.stderr.write(text),
  })
  const controller = new AbortController()
  let abortedAt: number | undefined
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // One Ctrl-C arrives several times: from the terminal, from git and from the launcher. A later one ends it at once; the next command recovers.
      if (abortedAt === undefined) abortedAt = performance.now()
      else if (performance.now() - abortedAt > 1000) process.exit(130)
      controller.abort()
    })
  }
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
  })
  try {
    const ports = wire({ environment: process.env, entry, progress, signal: controller.signal })
    await run(argv, { ports, output, directory: process.cwd() }, packageVersion())
    return 0
  } catch (error) {
    progress.end()
    const isCut = controller.signal.aborted && !(error instanceof EnvError)
    return output.error(isCut ? cancelled() : error)
  }
}
