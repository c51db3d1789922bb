import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { EnvError } from '../../domain/errors.ts'
import type { Operations } from './operations.ts'
import type { Reply } from './worker.ts'

type Names = keyof Operations
type Arguments<Name extends Names> = Parameters<Operations[Name]>
type Result<Name extends Names> = Awaited<ReturnType<Operations[Name]>>

const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
const program = fileURLToPath(new URL(`./worker${extension}`, import.meta.url))
/** Bounds what the process takes beside SQLite's own caches. */
const heapMb = 96

/** By database: a process that has let go of it and can be asked again, since starting one takes a tenth of a second. */
const resting = new Map<string, ChildProcess>()

/** A child process that works with one live database (see worker.ts). One call runs at a time, in order. */
export class WorkerProcess {
  onProgress: (rows: number) => void = () => {}
  readonly #path: string
  readonly #child: ChildProcess
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>()
  readonly #abort: () => void
  readonly #signal: AbortSignal
  #lastWords = ''
  #nextId = 1
  #ended: EnvError | undefined
  /** It is somebody else's by now. */
  #isGivenBack = false

  constructor(path: string, signal: AbortSignal) {
    this.#path = path
    this.#signal = signal
    signal.throwIfAborted()
    this.#child = wake(path) ?? start(path)
    this.#child.on('message', (reply: Reply) => this.#receive(reply))
    this.#child.stderr?.on('data', (text) => {
      this.#lastWords = (this.#lastWords + text).slice(-2000)
    })
    this.#child.on('error', (cause) => this.#end('could not be started', cause))
    this.#child.on('exit', (code, killed) => this.#end(`ended (${killed ?? `status ${code}`})`, this.#lastWords))
    this.#abort = () => this.kill()
    signal.addEventListener('abort', this.#abort, { once: true })
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  get ended(): boolean {
    return this.#ended !== undefined
  }

  async call<Name extends Names>(name: Name, ...args: Arguments<Name>): Promise<Result<Name>> {
    if (this.#ended) throw this.#ended
    const id = this.#nextId++
    const pending = Promise.withResolvers<unknown>()
    this.#calls.set(id, pending)
    this.#child.send({ id, name, args: args[0] }, (error) => {
      if (error) this.#end('could not be spoken to', error)
    })
    return (await pending.promise) as Result<Name>
  }

  /** Lets go of the database as `close` does; the process stays, for whoever works with this database next. */
  async rest(): Promise<void> {
    if (this.#ended) return
    await this.call('close').catch(() => {})
    if (this.#ended || resting.has(this.#path)) return this.kill()
    this.#ended = new EnvError('bug', `${this.#path}: its process was given back`)
    this.#isGivenBack = true
    this.#signal.removeEventListener('abort', this.#abort)
    rest(this.#path, this.#child)
  }

  /** Lets SQLite close its files as it likes to (a checkpoint, when it is the last), then ends the process. */
  async close(): Promise<void> {
    if (!this.#ended) await this.call('close').catch(() => {})
    await this.kill()
  }

  /** Ends the process where it stands: nothing is checkpointed or deleted, every lock is free when this is done. */
  async kill(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#abort)
    if (this.#isGivenBack) return
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined) return
    // Not by `once` of node:events: that throws when the process could not be spoken to in its last moment.
    const exited = Promise.withResolvers<void>()
    this.#child.once('exit', () => exited.resolve())
    this.#child.kill('SIGKILL')
    await exited.promise
  }

  #receive(reply: Reply): void {
    if (reply.progress !== undefined) this.onProgress(reply.progress)
    const call = this.#calls.get(reply.id ?? 0)
    this.#calls.delete(reply.id ?? 0)
    if (!reply.error) {
      call?.resolve(reply.result)
      return
    }
    const { code, message, hint, details } = reply.error
    call?.reject(new EnvError(code, message, { ...(hint ? { hint } : {}), ...(details ? { details } : {}) }))
  }

  #end(how: string, cause: unknown): void {
    this.#signal.removeEventListener('abort', this.#abort)
    this.#ended ??= this.#signal.aborted
      ? new EnvError('cancelled', `${this.#path}: cancelled`)
      : new EnvError('unavailable', `${this.#path}: the process that works with it ${how}`, { cause })
    for (const call of this.#calls.values()) call.reject(this.#ended)
    this.#calls.clear()
  }
}

function start(path: string): ChildProcess {
  return fork(program, [path], {
    execArgv: ['--no-warnings', `--max-old-space-size=${heapMb}`],
    stdio: ['pipe', 'ignore', 'pipe', 'ipc'],
  })
}

/** It keeps nobody from ending, and dies with this process. */
function rest(path: string, child: ChildProcess): void {
  child.removeAllListeners()
  child.stderr?.removeAllListeners('data')
  child.on('error', () => {})
  child.once('exit', () => {
    if (resting.get(path) === child) resting.delete(path)
  })
  for (const part of partsOf(child)) part?.unref()
  resting.set(path, child)
}

function wake(path: string): ChildProcess | undefined {
  const child = resting.get(path)
  if (!child) return undefined
  resting.delete(path)
  child.removeAllListeners()
  for (const part of partsOf(child)) part?.ref()
  return child
}

type Holding = { ref(): void; unref(): void } | null | undefined

function partsOf(child: ChildProcess): Holding[] {
  return [child, child.channel, child.stdin as unknown as Holding, child.stderr as unknown as Holding]
}
