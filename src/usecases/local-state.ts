import { hash } from 'node:crypto'
import { readdir, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { canonicalJson, type Json } from '../domain/canonical-json.ts'
import type { Config } from '../domain/config.ts'
import { EnvError, systemCode } from '../domain/errors.ts'
import { emptyUndoLog, type Journal, type UndoLog } from '../domain/journal.ts'
import type { Marker } from '../services/service-driver.ts'
import { makeDirectory, replaceFile } from '../system/durable-file.ts'

/** What this clone knows beside Git and the store, in `<git common dir>/env`. Every file is written whole or not at all. */
export class LocalState {
  readonly directory: string

  constructor(commonDirectory: string) {
    this.directory = path.join(commonDirectory, 'env')
  }

  get defaultStore(): string {
    return path.join(this.directory, 'store')
  }

  /** The lock of a work tree: an environment is checked out in one at most. */
  activityFile(worktreeKey: string): string {
    return path.join(this.directory, 'activities', `${worktreeKey}.json`)
  }

  /** The lock of a file or folder that belongs to a service or mount, by its real path: several work trees may share it. */
  resourceFile(resource: string): string {
    return path.join(this.directory, 'resources', `${hash('sha256', resource)}.json`)
  }

  /** Whose data a file or folder holds, by its real path. */
  async marker(resource: string): Promise<Marker | undefined> {
    return this.#read<Marker>(`markers/${hash('sha256', resource)}.json`)
  }

  async writeMarker(resource: string, marker: Marker): Promise<void> {
    await this.#write(`markers/${hash('sha256', resource)}.json`, { version: 1, ...marker })
  }

  /** A service's private folder: caches, staging, set-asides. */
  serviceDirectory(environmentKey: string, name: string): string {
    return path.join(this.directory, 'services', environmentKey, name)
  }

  async storeId(): Promise<string | undefined> {
    const state = await this.#read<{ store?: string }>('state.json')
    return state?.store
  }

  async recordStoreId(id: string): Promise<void> {
    await this.#write('state.json', { version: 1, store: id })
  }

  /** Whether `git env allow` was given to what this configuration names. */
  async isAllowed(config: Config): Promise<boolean> {
    const allowed = await this.#read<{ digests: readonly string[] }>('allowed.json')
    return allowed?.digests.includes(consentDigest(config)) ?? false
  }

  async allow(config: Config): Promise<void> {
    const allowed = await this.#read<{ digests: readonly string[] }>('allowed.json')
    const digests = new Set(allowed?.digests).add(consentDigest(config))
    await this.#write('allowed.json', { version: 1, digests: [...digests] })
  }

  async undoLog(worktreeKey: string): Promise<UndoLog> {
    return (await this.#read<UndoLog>(`undo/${worktreeKey}.json`)) ?? emptyUndoLog
  }

  async writeUndoLog(worktreeKey: string, log: UndoLog): Promise<void> {
    await this.#write(`undo/${worktreeKey}.json`, log)
  }

  journalDirectory(id: string): string {
    return path.join(this.directory, 'journals', id)
  }

  /** Journals of restores that are not tidied up, oldest first. */
  async journals(): Promise<readonly Journal[]> {
    const names = await readdir(path.join(this.directory, 'journals')).catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return []
      throw error
    })
    const journals = await Promise.all(names.sort().map((id) => this.#read<Journal>(`journals/${id}/journal.json`)))
    return journals.filter((journal) => journal !== undefined)
  }

  async writeJournal(journal: Journal): Promise<void> {
    await this.#write(`journals/${journal.id}/journal.json`, journal)
  }

  async removeJournal(id: string): Promise<void> {
    await rm(this.journalDirectory(id), { recursive: true, force: true })
  }

  async #read<T>(name: string): Promise<T | undefined> {
    const file = path.join(this.directory, name)
    let text: string
    try {
      text = await readFile(file, 'utf8')
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      throw new EnvError('unavailable', `${file} cannot be read`, { cause: error })
    }
    try {
      return JSON.parse(text) as T
    } catch (cause) {
      throw new EnvError('damaged', `${file} is damaged: it is not JSON`, {
        cause,
        hint: 'move it away; git env doctor says what is then missing',
      })
    }
  }

  async #write(name: string, value: object): Promise<void> {
    const file = path.join(this.directory, name)
    await makeDirectory(path.dirname(file))
    await replaceFile(file, [Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`)])
  }
}

/** Names all that consent is given to: where services and mounts lie, what would run, and the store. */
function consentDigest({ services, rebuilds, names, hooks, store }: Config): string {
  // Without rebuilds as before there were any: consent that was given stays.
  const rebuilt = rebuilds.length > 0 ? { rebuilds } : {}
  return hash('sha256', canonicalJson({ services, ...rebuilt, names, hooks, store } as unknown as Json))
}
