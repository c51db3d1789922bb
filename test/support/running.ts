import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { Project, Ran } from './project.ts'

const launcher = fileURLToPath(new URL('../../bin/git-env.js', import.meta.url))

/** A command that goes on while the test looks at it. */
export type Running = {
  readonly pid: number
  /** Ends with the command. */
  readonly ended: Promise<Ran>
  /** The step's first occurrence: gives the id of the process that did it, the command or its guard. */
  at(step: string): Promise<number>
  /** What Ctrl-C at a terminal does: every process of the command's group gets the signal. */
  interrupt(): void
}

/** Starts `git-env …` as a shell at a terminal does, in a process group of its own; `pauses` makes a step last. */
export function start(
  project: Project,
  words: readonly string[],
  pause?: { readonly at: string; readonly ms: number },
): Running {
  const child = spawn(process.execPath, [launcher, ...words], {
    cwd: project.directory,
    env: {
      ...project.environment,
      GIT_ENV_TRACE: '1',
      ...(pause ? { GIT_ENV_PAUSE_AT: `${pause.at}=${pause.ms}` } : {}),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const output = { stdout: '', stderr: '' }
  let isOver = false
  const exit: { status?: number | null; signal?: string | null } = {}
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (part: Buffer) => {
      output[name] += part.toString()
    })
  }
  child.on('exit', (status, signal) => Object.assign(exit, { status, signal }))
  // The guard has the pipes too: with "close" both are over.
  const closed = new Promise<Ran>((resolve) => {
    child.on('close', (status, signal) => {
      isOver = true
      resolve({ status, signal, ...output })
    })
  })
  onTestFinished(async () => {
    if (exit.status === undefined) child.kill('SIGKILL')
    await closed
  })
  return {
    pid: child.pid!,
    ended: closed,
    interrupt: () => process.kill(-child.pid!, 'SIGINT'),
    at: (step) =>
      until(() => {
        const doer = tracedBy(output.stderr, step)
        if (doer === undefined && isOver) throw new Error(`it ended without "${step}":\n${output.stderr}`)
        return doer
      }, `the step "${step}"`),
  }
}

/** What people see of standard error. */
export function withoutTrace(text: string): string {
  return text.replaceAll(/^trace .*\n/gm, '')
}

const patienceMs = 60_000

/** Asks every few milliseconds, until there is an answer. */
export async function until<T>(ask: () => T | undefined, what: string): Promise<T> {
  const deadline = performance.now() + patienceMs
  for (;;) {
    const answer = ask()
    if (answer !== undefined) return answer
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

function tracedBy(text: string, step: string): number | undefined {
  for (const [, pid, name] of text.matchAll(/^trace (\d+) \d+ (.*) \(\d+ ms\)$/gm)) {
    if (name === step) return Number(pid)
  }
  return undefined
}
