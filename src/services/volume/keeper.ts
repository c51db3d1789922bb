import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { EnvError } from '../../domain/errors.ts'
import type { Staged } from '../../domain/swap.ts'
import { makeDirectory } from '../../system/durable-file.ts'
import { isAlive, type ProcessIdentity } from '../../system/process-identity.ts'
import { runCommand } from '../../system/run-command.ts'
import type { Volume, VolumeCommands } from './volume.ts'

const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
const program = fileURLToPath(new URL(`./worker${extension}`, import.meta.url))

/** What a keeper is asked; it answers each with a {@link KeeperAnswer}. */
export type KeeperOrder =
  | { readonly order: 'keep'; readonly commands: VolumeCommands; readonly file: string }
  | { readonly order: 'stop' | 'start' }
  /** What to take back before the start, should the swap be cut short. */
  | { readonly order: 'swap'; readonly name: string; readonly privateDirectory: string; readonly staged: Staged }

export type KeeperAnswer = { readonly failure: string | undefined }

/**
 * A process in a session of its own that stops a service and starts it again: when it is told, or when this process dies in any way. If a
 * swap was cut short by that, it is taken back first, so that no service ever starts on a mixture.
 */
export class Keeper {
  readonly #child: ChildProcess
  readonly #volume: Volume
  readonly #commands: VolumeCommands
  readonly #ended: Promise<void>
  #isOver = false
  #started: Promise<string | undefined> | undefined

  private constructor(volume: Volume, commands: VolumeCommands) {
    this.#volume = volume
    this.#commands = commands
    this.#child = fork(program, [], {
      execArgv: ['--no-warnings'],
      detached: true,
      env: { ...commands.options.environment },
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    this.#ended = new Promise((resolve) => {
      const end = () => {
        this.#isOver = true
        resolve()
      }
      this.#child.on('error', end)
      this.#child.on('exit', end)
    })
  }

  /** Ready to stop the service. Nothing has been run yet. */
  static async open(volume: Volume, commands: VolumeCommands): Promise<Keeper> {
    await makeDirectory(volume.privateDirectory)
    await othersGone(volume, commands)
    const keeper = new Keeper(volume, commands)
    const answer = await keeper.#ask({ order: 'keep', commands, file: keeperFile(volume) })
    if (answer) return keeper
    throw new EnvError('unavailable', `${volume.name}: the process that would start it again cannot be started`)
  }

  /** Throws `unavailable` when it did not work; then it is started again at once. */
  async stop(): Promise<void> {
    const answer = await this.#ask({ order: 'stop' })
    const failure = answer ? answer.failure : 'the process that runs it was killed'
    if (failure === undefined) return
    const second = await this.start()
    const words = this.#commands.stop.join(' ')
    throw new EnvError('unavailable', `${this.#volume.name}: ${words} did not work: ${failure}`, {
      hint:
        second ??
        'nothing was taken or changed, and the start command was run; stop must also work where the service is stopped already',
    })
  }

  async swapping(staged: Staged): Promise<void> {
    const { name, privateDirectory } = this.#volume
    const answer = await this.#ask({ order: 'swap', name, privateDirectory, staged })
    if (answer) return
    throw new EnvError('unavailable', `${name}: the process that would start it again was killed`)
  }

  /** What went wrong, for people. Once only, however often it is asked for. */
  start(): Promise<string | undefined> {
    this.#started ??= this.#startNow()
    return this.#started
  }

  async #startNow(): Promise<string | undefined> {
    const answer = await this.#ask({ order: 'start' })
    const { start, options } = this.#commands
    const failure = answer ? answer.failure : (await runCommand(start, options)).failure
    if (this.#child.connected) this.#child.disconnect()
    await this.#ended
    return failure && `${start.join(' ')} did not work: ${failure}; when that is mended, start it yourself`
  }

  /** undefined when the keeper is gone. */
  async #ask(order: KeeperOrder): Promise<KeeperAnswer | undefined> {
    if (this.#isOver || !this.#child.connected) return undefined
    const answered = new Promise<KeeperAnswer>((resolve) => this.#child.once('message', resolve))
    this.#child.send(order, () => {})
    return Promise.race([answered, this.#ended.then(() => undefined)])
  }
}

function keeperFile({ privateDirectory }: Pick<Volume, 'privateDirectory'>): string {
  return path.join(privateDirectory, 'keeper')
}

/** Waits until the keeper of a process that died has done its work. */
export async function othersGone(volume: Volume, { options }: Pick<VolumeCommands, 'options'>): Promise<void> {
  const file = keeperFile(volume)
  // It may have to wait for both commands, and ends them at their limits.
  const deadline = performance.now() + 2 * options.limitMs + 10_000
  for (let other = read(file); other && isAlive(other); other = read(file)) {
    if (performance.now() > deadline) {
      throw new EnvError('busy', `${volume.name} is still being started again by process ${other.pid}`, {
        hint: 'wait for it, or look at what it waits for',
      })
    }
    await sleep(20)
  }
  rmSync(file, { force: true })
}

function read(file: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessIdentity
  } catch {
    return undefined
  }
}
