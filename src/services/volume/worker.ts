import { rmSync, writeFileSync } from 'node:fs'
import { identify } from '../../system/process-identity.ts'
import { runCommand } from '../../system/run-command.ts'
import type { KeeperAnswer, KeeperOrder } from './keeper.ts'
import type { VolumeCommands } from './volume.ts'

/** The keeper's process: see {@link Keeper}. One order runs at a time, in the order they come, also when whoever gave them is gone by then. */
class Orders {
  #commands: VolumeCommands | undefined
  #file: string | undefined
  #swap: Extract<KeeperOrder, { order: 'swap' }> | undefined
  #isStopped = false

  async carryOut(given: KeeperOrder): Promise<KeeperAnswer> {
    if (given.order === 'keep') {
      this.#commands = given.commands
      this.#file = given.file
      writeFileSync(given.file, JSON.stringify(identify(process.pid)))
    } else if (given.order === 'swap') this.#swap = given
    else if (given.order === 'stop') {
      this.#isStopped = true
      return this.#run('stop')
    } else {
      this.#isStopped = false
      return this.#run('start')
    }
    return { failure: undefined }
  }

  /** Whoever gave the orders is gone, or needs nothing more. */
  async end(): Promise<void> {
    try {
      if (!this.#isStopped) return
      // On a mixture nothing is started: the next git-env brings it to rest, and starts it then.
      await this.#takeBack()
      await this.#run('start')
    } finally {
      if (this.#file !== undefined) rmSync(this.#file, { force: true })
    }
  }

  #run(name: 'stop' | 'start'): Promise<KeeperAnswer> {
    const { options, [name]: words } = this.#commands!
    return runCommand(words, options)
  }

  async #takeBack(): Promise<void> {
    if (!this.#swap) return
    const { name, privateDirectory, staged } = this.#swap
    // Loaded only now: whoever waits for the stop should not wait for this.
    const [{ Scope }, { Exchange }] = await Promise.all([import('../files/mount.ts'), import('./exchange.ts')])
    const { signal } = new AbortController()
    const scope = new Scope(new Set(), [])
    const mountAt = (root: string) => ({ name, root, scope, privateDirectory, trace() {}, signal })
    const exchange = new Exchange(mountAt, staged, undefined)
    if ((await exchange.inspect()) !== 'after') await exchange.back()
  }
}

if (process.send) {
  const orders = new Orders()
  let last: Promise<unknown> = Promise.resolve()
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM'] as const) process.on(signal, () => {})
  process.on('message', (given: KeeperOrder) => {
    last = last.then(async () => {
      const answer = await orders.carryOut(given).catch((error) => ({ failure: String(error) }))
      if (process.connected) process.send!(answer, () => {})
    })
  })
  process.on('disconnect', () => {
    last.then(() => orders.end()).finally(() => process.exit())
  })
}
