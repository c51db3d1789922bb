import { EnvError } from '../domain/errors.ts'
import type { ByteRange, ObjectInfo, StorageBackend } from './storage-backend.ts'

export type Verb = 'put' | 'get' | 'stat' | 'list' | 'delete' | 'now'

/**
 * - `fail`: throws, nothing done
 * - `fail-late`: does it, then throws: an answer that was lost
 * - `sleep`: does it later
 * - `flip`: one bit of what is read or stored is wrong
 * - `short`: what is read or stored ends half-way
 * - `omit`: `list` leaves out every second object, `stat` says there is none
 * - `unsynced`: `put` says it is done, but {@link FaultyBackend.losePower} takes it away
 */
export type Fault =
  | { readonly kind: 'fail' | 'fail-late'; readonly error?: Error }
  | { readonly kind: 'sleep'; readonly ms: number }
  | { readonly kind: 'flip' | 'short' | 'omit' | 'unsynced' }

export type FaultRule = {
  readonly verb: Verb
  /** Which call of this verb (among those whose name fits), from 1; all of them when left out. */
  readonly call?: number
  readonly name?: RegExp
  readonly fault: Fault
}

/** A backend on top of another that breaks the port's laws on purpose: what must hold all the same is tested with it. */
export class FaultyBackend implements StorageBackend {
  readonly location: string
  /** Every call so far, in order. */
  readonly calls: { readonly verb: Verb; readonly name: string }[] = []
  readonly #inner: StorageBackend
  readonly #rules: { readonly rule: FaultRule; seen: number }[]
  readonly #unsynced = new Set<string>()

  constructor(inner: StorageBackend, rules: readonly FaultRule[]) {
    this.#inner = inner
    this.location = inner.location
    this.#rules = rules.map((rule) => ({ rule, seen: 0 }))
  }

  /** The machine loses power: what was not synced is gone. */
  async losePower(): Promise<void> {
    for (const name of this.#unsynced) await this.#inner.delete(name)
    this.#unsynced.clear()
  }

  async put(name: string, parts: readonly Uint8Array[]): Promise<'created' | 'exists'> {
    return this.#run('put', name, async (fault) => {
      const result = await this.#inner.put(name, [spoil(Buffer.concat(parts), fault)])
      if (fault?.kind === 'unsynced' && result === 'created') this.#unsynced.add(name)
      return result
    })
  }

  async get(name: string, range?: ByteRange, into?: Uint8Array): Promise<Uint8Array> {
    return this.#run('get', name, async (fault) => spoil(await this.#inner.get(name, range, into), fault))
  }

  async stat(name: string): Promise<ObjectInfo | undefined> {
    return this.#run('stat', name, async (fault) => (fault?.kind === 'omit' ? undefined : await this.#inner.stat(name)))
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    const fault = this.#next('list', prefix)
    await before(fault)
    let count = 0
    for await (const info of this.#inner.list(prefix)) {
      if (fault?.kind === 'omit' && count++ % 2 === 0) continue
      yield info
    }
    after(fault)
  }

  async *names(prefix: string): AsyncGenerator<readonly string[]> {
    for await (const { name } of this.list(prefix)) yield [name]
  }

  async delete(name: string): Promise<boolean> {
    return this.#run('delete', name, () => this.#inner.delete(name))
  }

  async now(): Promise<number> {
    return this.#run('now', '', () => this.#inner.now())
  }

  async #run<Result>(verb: Verb, name: string, work: (fault: Fault | undefined) => Promise<Result>): Promise<Result> {
    const fault = this.#next(verb, name)
    await before(fault)
    const result = await work(fault)
    after(fault)
    return result
  }

  /** The fault of this call; every rule that fits counts it. */
  #next(verb: Verb, name: string): Fault | undefined {
    this.calls.push({ verb, name })
    let fault: Fault | undefined
    for (const entry of this.#rules) {
      const { rule } = entry
      if (rule.verb !== verb || (rule.name && !rule.name.test(name))) continue
      entry.seen++
      if (rule.call === undefined || rule.call === entry.seen) fault ??= rule.fault
    }
    return fault
  }
}

async function before(fault: Fault | undefined): Promise<void> {
  if (fault?.kind === 'fail') throw errorOf(fault)
  if (fault?.kind === 'sleep') await new Promise((resolve) => setTimeout(resolve, fault.ms))
}

function after(fault: Fault | undefined): void {
  if (fault?.kind === 'fail-late') throw errorOf(fault)
}

function errorOf(fault: { readonly error?: Error }): Error {
  return fault.error ?? new EnvError('unavailable', 'the store does not answer')
}

function spoil(bytes: Uint8Array, fault: Fault | undefined): Uint8Array {
  if (fault?.kind === 'short') return bytes.slice(0, Math.floor(bytes.length / 2))
  if (fault?.kind !== 'flip' || bytes.length === 0) return bytes
  const spoiled = Uint8Array.from(bytes)
  const middle = Math.floor(spoiled.length / 2)
  spoiled[middle] = spoiled[middle]! ^ 1
  return spoiled
}
