import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { monotonicFactory } from 'ulid'
import { driverTypes, loadDriver } from './services/registry.ts'
import { makeDirectory } from './system/durable-file.ts'
import type { Trace } from './system/trace.ts'
import type { Guard, GuardMessage, Ports, Progress } from './usecases/ports.ts'

export type Surroundings = {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** The file that started this process: the guard starts it again. */
  readonly entry: string
  readonly progress: Progress
  readonly signal: AbortSignal
}

/** The composition root: the one file that names implementations. */
export function wire({ environment, entry, progress, signal }: Surroundings): Ports {
  const ulid = monotonicFactory()
  const trace = makeTrace(environment)
  return {
    version: packageVersion(),
    variables: environment,
    now: () => new Date(),
    newId: () => ulid().toLowerCase(),
    openGit: async (directory, own = signal) => {
      const { openGitRepository } = await import('./git/open-repository.ts')
      return openGitRepository(directory, { environment, signal: own })
    },
    driverTypes: driverTypes(),
    loadDriver,
    surveyServices: async (project, types) => {
      const { surveyServices } = await import('./services/detection/find-services.ts')
      return surveyServices(project, types)
    },
    openStore: async (location, id) => {
      const { LocalBackend, openStore } = await storeModules()
      return openStore(new LocalBackend(location), { ...(id === undefined ? {} : { expectedId: id }), trace })
    },
    openManifestList: async (location, id) => {
      const [{ LocalBackend }, { openManifestList }] = await Promise.all([
        import('./backends/local.ts'),
        import('./store/manifest-list.ts'),
      ])
      return openManifestList(new LocalBackend(location), id === undefined ? {} : { expectedId: id })
    },
    createStore: async (location, id) => {
      const { LocalBackend, createStore } = await storeModules()
      await makeDirectory(location)
      return createStore(new LocalBackend(location), { id, createdAt: new Date().toISOString(), trace })
    },
    startGuard: (options) => startGuard(entry, options),
    trace,
    signal,
    progress,
  }
}

/** Loaded on first use: a command that needs no store should not wait for one. */
async function storeModules() {
  const [backends, store] = await Promise.all([import('./backends/local.ts'), import('./store/packed-store.ts')])
  return { ...backends, ...store }
}

export function packageVersion(): string {
  const file = new URL('../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

/**
 * `GIT_ENV_TRACE=1` prints every durable step. Two more are for tests, which prove with them that nothing is left between:
 * `GIT_ENV_KILL_AT=<n>` kills this process at its n-th step, as a crash would; `GIT_ENV_PAUSE_AT=<step>=<ms>` makes a step last.
 */
function makeTrace(environment: Surroundings['environment']): Trace {
  const killAt = Number(environment['GIT_ENV_KILL_AT'] ?? 0)
  const [pauseAt, pauseMs] = (environment['GIT_ENV_PAUSE_AT'] ?? '').split('=')
  const loud = Boolean(environment['GIT_ENV_TRACE'])
  let count = 0
  return (step) => {
    count++
    if (loud) process.stderr.write(`trace ${process.pid} ${count} ${step} (${Math.round(performance.now())} ms)\n`)
    if (count === killAt) process.kill(process.pid, 'SIGKILL')
    if (step === pauseAt) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(pauseMs))
  }
}

/** In a session of its own: a Ctrl-C at the terminal or the end of this process does not reach it. */
function startGuard(entry: string, options: { readonly journal: string; readonly directory: string }): Guard {
  // Relative paths in it are relative to here, and the guard starts elsewhere.
  const environment: Record<string, string | undefined> = { ...process.env }
  for (const name of ['GIT_DIR', 'GIT_WORK_TREE', 'GIT_COMMON_DIR', 'GIT_INDEX_FILE', 'GIT_OBJECT_DIRECTORY']) {
    if (environment[name]) environment[name] = path.resolve(environment[name])
  }
  environment['GIT_ENV_KILL_AT'] = environment['GIT_ENV_KILL_GUARD_AT'] ?? '0'
  const child = spawn(process.execPath, [...process.execArgv, entry, 'guard', options.journal], {
    cwd: options.directory,
    detached: true,
    env: environment,
    stdio: ['pipe', 'pipe', environment['GIT_ENV_TRACE'] ? 'inherit' : 'ignore'],
  })
  child.stdin!.on('error', () => {})
  let last: GuardMessage | undefined
  createInterface({ input: child.stdout! }).on('line', (line) => {
    last = JSON.parse(line) as GuardMessage
  })
  return {
    pid: child.pid!,
    go: () => child.stdin!.write('go\n'),
    cancel: () => child.stdin!.write('cancel\n'),
    ended: new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', () => resolve(last))
    }),
  }
}
