import { constants, copyFileSync, mkdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { systemCode } from '../../domain/errors.ts'
import { at, type Mount } from './mount.ts'

/** Makes a second file of the same bytes; throws where that would take a copy of them. */
export type CloneFile = (from: Buffer, to: string) => void

/** By sharing blocks (btrfs, XFS, APFS, ZFS): as quick for a large file as for a small one. */
export const reflink: CloneFile = (from, to) => copyFileSync(from, to, constants.COPYFILE_FICLONE_FORCE)

/** Of file systems, and of places on several of them, where no blocks can be shared. */
const cannot = new Set(['ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV', 'EINVAL', 'ENOTTY', 'EPERM'])

/** Clones of some of a mount's files, in the service's private folder. */
export class Clones {
  readonly #mount: Mount
  readonly #directory: string
  readonly #clone: CloneFile
  readonly #names = new Map<string, string>()

  constructor(mount: Mount, clone: CloneFile) {
    this.#mount = mount
    this.#directory = path.join(mount.privateDirectory, 'clones')
    this.#clone = clone
    // A capture that was cut short has left its own.
    this.remove()
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
  }

  /** False where the file system cannot. */
  add(file: string): boolean {
    const name = String(this.#names.size)
    try {
      this.#clone(at(this.#mount, file), path.join(this.#directory, name))
    } catch (error) {
      if (cannot.has(systemCode(error) ?? '')) return false
      throw error
    }
    this.#names.set(file, name)
    return true
  }

  /** Where the clone lies, as a path below the folder of `mount`. */
  of(file: string): string | undefined {
    return this.#names.get(file)
  }

  /** The clones' folder, as if it were the mount's. */
  get mount(): Mount {
    return { ...this.#mount, root: Buffer.from(this.#directory).toString('latin1') }
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
