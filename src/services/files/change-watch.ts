import { type FSWatcher, watch } from 'node:fs'
import { at, type Mount } from './mount.ts'

/** A watch takes memory in the kernel, and systems limit how many there may be. */
const mostFolders = 4096

/**
 * Hears what changes in the folders of a mount, so that a capture knows where to look at the point, when there is no time to look everywhere.
 * It hears what it can: without it, or where it missed something, the files' own times tell what has changed since.
 */
export class ChangeWatch {
  readonly #mount: Mount
  readonly #watchers: FSWatcher[] = []
  readonly #changed = new Set<string>()
  readonly #folders = new Set<string>()
  #works = true

  constructor(mount: Mount) {
    this.#mount = mount
  }

  /** Listens to a folder; to be called before its names are read. */
  add(folder: string): void {
    if (!this.#works) return
    try {
      const options = { persistent: false, encoding: 'buffer' } as const
      const watcher = watch(at(this.#mount, folder), options, (_event, name) => {
        const changed = name?.toString('latin1')
        if (changed !== undefined) this.note(folder === '' ? changed : `${folder}/${changed}`)
        this.note(folder)
      })
      watcher.on('error', () => this.close())
      this.#watchers.push(watcher)
      this.#folders.add(folder)
      if (this.#watchers.length > mostFolders) this.close()
    } catch {
      this.close()
    }
  }

  /** Whether it has listened to this folder since before its names were read. */
  hears(folder: string): boolean {
    return this.#works && this.#folders.has(folder)
  }

  /** Remembers that this has changed, or is likely to. */
  note(path: string): void {
    this.#changed.delete(path)
    this.#changed.add(path)
  }

  /** What has changed until now, the latest first. */
  async changed(): Promise<string[]> {
    // Two turns of the event loop: all that the kernel knows when the first begins has arrived after the second.
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
    return [...this.#changed].reverse()
  }

  close(): void {
    this.#works = false
    for (const watcher of this.#watchers.splice(0)) watcher.close()
  }
}
