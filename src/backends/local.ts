import { randomBytes } from 'node:crypto'
import { lstat, open, readdir, stat, unlink } from 'node:fs/promises'
import path from 'node:path'
import { EnvError, systemCode } from '../domain/errors.ts'
import {
  type FileCalls,
  fileError,
  makeDirectory,
  realFileCalls,
  syncDirectory,
  writeNewFile,
} from '../system/durable-file.ts'
import { checkObjectName, checkObjectPrefix, isObjectName, noSuchObject, shortObject } from './object-name.ts'
import type { ByteRange, ObjectInfo, StorageBackend } from './storage-backend.ts'

/** Where objects are written before they get their name. No object can be called this. */
const temporaryName = '~tmp'
/** No put takes this long, so what is older was left by a process that died. */
const strayAfterMs = 24 * 60 * 60 * 1000
const listedAtOnce = 64

/** Objects as files of a folder, on a local disk or a network file system. One that is absent (a disk that is not mounted) is refused, never made. */
export class LocalBackend implements StorageBackend {
  readonly location: string
  readonly #calls: FileCalls
  readonly #known = new Set<string>()
  #swept = false

  /** `directory` is absolute. */
  constructor(directory: string, options: { readonly calls?: FileCalls } = {}) {
    this.location = directory
    this.#calls = options.calls ?? realFileCalls
  }

  async put(name: string, parts: readonly Uint8Array[]): Promise<'created' | 'exists'> {
    const file = this.#file(name)
    const temporaryDirectory = await this.#directory(temporaryName)
    await this.#directory(path.dirname(name))
    const result = await writeNewFile(file, parts, { temporaryDirectory, calls: this.#calls })
    if (!this.#swept) {
      this.#swept = true
      await this.#sweep(temporaryDirectory).catch(() => {}) // room for later is no reason to fail now
    }
    return result
  }

  async get(name: string, range?: ByteRange, into?: Uint8Array): Promise<Uint8Array> {
    const file = this.#file(name)
    try {
      const handle = await open(file, 'r')
      try {
        const { size } = await handle.stat()
        const { offset, length } = range ?? { offset: 0, length: size }
        if (offset + length > size) throw shortObject(this.location, name, offset + length, size)
        const bytes = range && into ? into.subarray(0, length) : Buffer.allocUnsafeSlow(length)
        let done = 0
        while (done < length) {
          const { bytesRead } = await handle.read(bytes, done, length - done, offset + done)
          if (bytesRead === 0) throw shortObject(this.location, name, offset + length, offset + done)
          done += bytesRead
        }
        return bytes
      } finally {
        await handle.close()
      }
    } catch (error) {
      if (isAbsent(error)) throw noSuchObject(this.location, name)
      throw fileError(error, file, 'read it')
    }
  }

  async stat(name: string): Promise<ObjectInfo | undefined> {
    return this.#info(name)
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    for await (const names of this.names(prefix)) {
      for (let at = 0; at < names.length; at += listedAtOnce) {
        const infos = await Promise.all(names.slice(at, at + listedAtOnce).map((name) => this.#info(name)))
        for (const info of infos) if (info) yield info
      }
    }
  }

  async *names(prefix: string): AsyncGenerator<readonly string[]> {
    checkObjectPrefix(prefix)
    await this.#mustExist()
    const folder = prefix.includes('/') ? prefix.slice(0, prefix.lastIndexOf('/')) : ''
    yield* this.#walk(folder, prefix)
  }

  async delete(name: string): Promise<boolean> {
    const file = this.#file(name)
    try {
      await unlink(file)
      await syncDirectory(path.dirname(file), this.#calls)
      return true
    } catch (error) {
      if (isAbsent(error)) return false
      throw fileError(error, file, 'delete it')
    }
  }

  async now(): Promise<number> {
    const file = path.join(await this.#directory(temporaryName), randomBytes(12).toString('hex'))
    try {
      const handle = await open(file, 'wx', 0o600)
      try {
        return (await handle.stat()).mtimeMs
      } finally {
        await handle.close()
        await unlink(file)
      }
    } catch (error) {
      throw fileError(error, file, 'ask the file system for the time')
    }
  }

  #file(name: string): string {
    checkObjectName(name)
    return path.join(this.location, name)
  }

  /** A folder inside the store, made where needed; never the store's own. */
  async #directory(name: string): Promise<string> {
    const directory = path.join(this.location, name)
    if (this.#known.has(name)) return directory
    await this.#mustExist()
    await makeDirectory(directory, 0o700, this.#calls)
    this.#known.add(name)
    return directory
  }

  async #mustExist(): Promise<void> {
    try {
      if ((await stat(this.location)).isDirectory()) return
    } catch (error) {
      if (!isAbsent(error)) throw fileError(error, this.location, 'look at the folder of the store')
    }
    throw new EnvError('not-found', `the folder ${this.location} is not there`, {
      hint: 'mount the disk that it is on, or make a store there with `git env init`',
    })
  }

  async #info(name: string): Promise<ObjectInfo | undefined> {
    const file = this.#file(name)
    try {
      const found = await lstat(file)
      return found.isFile() ? { name, size: found.size, modifiedAtMs: found.mtimeMs } : undefined
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw fileError(error, file, 'look at it')
    }
  }

  /** Every object below a folder of the store whose name begins with the prefix, a folder at a time. */
  async *#walk(folder: string, prefix: string): AsyncGenerator<readonly string[]> {
    const directory = path.join(this.location, folder)
    const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
      if (folder !== '' && isAbsent(error)) return []
      throw fileError(error, directory, 'list this folder')
    })
    const files: string[] = []
    for (const entry of entries) {
      if (!isObjectName(entry.name)) continue
      const name = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.isDirectory()) {
        if (`${name}/`.startsWith(prefix) || prefix.startsWith(`${name}/`)) yield* this.#walk(name, prefix)
      } else if (name.startsWith(prefix)) files.push(name)
    }
    yield files
  }

  async #sweep(directory: string): Promise<void> {
    const now = await this.now()
    for (const name of await readdir(directory)) {
      const file = path.join(directory, name)
      const found = await lstat(file)
      if (now - found.mtimeMs > strayAfterMs) await unlink(file)
    }
  }
}

function isAbsent(error: unknown): boolean {
  const code = systemCode(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}
