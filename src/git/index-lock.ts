import { link, readdir, readFile, readlink, rename, rm, unlink } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { EnvError, systemCode } from '../domain/errors.ts'
import { replaceFile, syncDirectory } from '../system/durable-file.ts'
import type { Git, GitResult, RunOptions } from './run-git.ts'
import { lstatOrUndefined } from './work-files.ts'

const patienceMs = 10_000

/**
 * Runs those commands of a restore that lock the index, so that after a crash the lock that one of them left can be told from everybody
 * else's: each is begun only when there is no lock, and Git itself writes its process id and its end into a trace beside the set-asides.
 */
export class IndexLock {
  readonly #git: Git
  readonly #index: string
  readonly #trace: string

  constructor(git: Git, index: string, asideDirectory: string) {
    this.#git = git
    this.#index = index
    this.#trace = path.join(asideDirectory, 'git-trace')
  }

  get #lock(): string {
    return `${this.#index}.lock`
  }

  /** Runs a command to its end, even when the activity is cancelled. */
  async run(args: readonly string[], options: RunOptions = {}): Promise<GitResult> {
    await this.waitUntilFree()
    const env = { GIT_TRACE2_EVENT: this.#trace, GIT_TRACE2_PARENT_SID: undefined, ...options.env }
    return this.#git.run(args, { ...options, env, uninterrupted: true })
  }

  /** Until nobody holds the index; throws `busy` when somebody goes on doing so. */
  async waitUntilFree(limitMs = patienceMs): Promise<void> {
    const end = performance.now() + limitMs
    for (;;) {
      const stats = await lstatOrUndefined(this.#lock)
      if (stats === undefined) return
      if (performance.now() > end) throw this.#busy(stats.mtimeMs)
      await delay(20)
    }
  }

  /**
   * After a crash: waits for a command of ours that still runs, and takes away the lock of one that was killed.
   * A lock that cannot be proved ours stays, and `busy` is thrown.
   */
  async settle(): Promise<void> {
    await this.#finishReplacing()
    const last = await this.#lastCommand()
    const end = performance.now() + patienceMs
    while (last !== undefined && !last.ended && (await isGit(last.pid))) {
      if (performance.now() > end) {
        throw new EnvError('busy', `git, process ${last.pid}, still works on this restore`, {
          hint: 'try again in a while',
        })
      }
      await delay(50)
    }
    const stats = await lstatOrUndefined(this.#lock)
    if (stats === undefined) return
    const isOurs = last !== undefined && !last.ended && Number(stats.mtimeMs) + 1000 >= last.startedAt
    if (isOurs && !(await isOpen(this.#lock))) {
      await unlink(this.#lock)
      return
    }
    await this.waitUntilFree()
  }

  /** Puts a whole index in the place of the present one, under Git's own lock. */
  async replaceIndex(bytes: Uint8Array): Promise<void> {
    await this.waitUntilFree()
    await replaceFile(this.#ownLock, [bytes], { mode: 0o644 })
    // The lock is made by giving our file a second name: who finds both knows whose lock it is.
    await link(this.#ownLock, this.#lock)
    await rename(this.#lock, this.#index)
    await rm(this.#ownLock, { force: true })
    await syncDirectory(path.dirname(this.#index))
  }

  get #ownLock(): string {
    return `${this.#index}.git-env`
  }

  async #finishReplacing(): Promise<void> {
    const [lock, ours] = await Promise.all([lstatOrUndefined(this.#lock), lstatOrUndefined(this.#ownLock)])
    if (lock !== undefined && ours !== undefined && lock.ino === ours.ino && lock.dev === ours.dev)
      await unlink(this.#lock)
    await rm(this.#ownLock, { force: true })
  }

  /** The last of our commands that Git's own trace tells of. */
  async #lastCommand(): Promise<
    { readonly pid: number; readonly startedAt: number; readonly ended: boolean } | undefined
  > {
    const text = await readFile(this.#trace, 'utf8').catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return ''
      throw error
    })
    let last: { pid: number; startedAt: number; ended: boolean; sid: string } | undefined
    for (const line of text.split('\n')) {
      const event = parseEvent(line)
      // Commands that ours start (hooks, filters) have a slash in their session id, and hold no lock of ours.
      if (event === undefined || event.sid.includes('/')) continue
      const pid = /-P([0-9a-f]{8})$/.exec(event.sid)?.[1]
      if (event.event === 'version' && pid !== undefined) {
        last = { pid: Number.parseInt(pid, 16), startedAt: Date.parse(event.time), ended: false, sid: event.sid }
      }
      if (event.event === 'atexit' && last?.sid === event.sid) last.ended = true
    }
    return last
  }

  #busy(mtimeMs: bigint): EnvError {
    const since = new Date(Number(mtimeMs)).toISOString()
    return new EnvError('busy', `another git process holds ${this.#lock} (since ${since})`, {
      hint: 'wait for it; if none runs any more, remove that file',
    })
  }
}

function parseEvent(line: string): { readonly event: string; readonly sid: string; readonly time: string } | undefined {
  try {
    const { event, sid, time } = JSON.parse(line) as Record<string, unknown>
    return typeof event === 'string' && typeof sid === 'string' ? { event, sid, time: String(time) } : undefined
  } catch {
    // A line that a crash cut short.
    return undefined
  }
}

/** Whether a process with this id runs and is a Git; elsewhere than on Linux, whether it runs. */
async function isGit(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (systemCode(error) === 'ESRCH') return false
  }
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined)
  if (stat === undefined) return process.platform !== 'linux'
  const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
  const state = stat.slice(stat.lastIndexOf(')') + 2)[0]
  return name.startsWith('git') && state !== 'Z'
}

/** Whether any process that we may look at has the file open. Linux only; elsewhere false. */
async function isOpen(file: string): Promise<boolean> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  for (const pid of pids) {
    for (const descriptor of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      if ((await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')) === file) return true
    }
  }
  return false
}
