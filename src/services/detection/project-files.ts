import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import path from 'node:path'
import { systemCode } from '../../domain/errors.ts'
import type { Project } from '../service-driver.ts'
import type { Texts } from './found.ts'

const mostBytes = 256 * 1024

/** The files of a real project: plain files inside it, of a size that people write. */
export class ProjectFiles implements Texts {
  readonly name: string
  readonly notes = new Set<string>()
  readonly #directory: string
  readonly #variable: (name: string) => string | undefined
  readonly #known = new Map<string, string | undefined>()

  constructor(project: Project, variable: (name: string) => string | undefined) {
    this.name = path.basename(project.directory)
    this.#directory = project.directory
    this.#variable = variable
  }

  read(file: string): string | undefined {
    if (!this.#known.has(file)) this.#known.set(file, this.#read(file))
    return this.#known.get(file)
  }

  list(folder: string): readonly string[] {
    try {
      return readdirSync(path.join(this.#directory, folder)).sort()
    } catch {
      return []
    }
  }

  variable(name: string): string | undefined {
    return this.#variable(name)
  }

  note(text: string): void {
    this.notes.add(text)
  }

  #read(file: string): string | undefined {
    try {
      const real = realpathSync(path.join(this.#directory, file))
      const top = realpathSync(this.#directory)
      if (!real.startsWith(`${top}${path.sep}`) || real.startsWith(path.join(top, '.git') + path.sep)) return undefined
      const stat = statSync(real)
      if (!stat.isFile()) return undefined
      if (stat.size > mostBytes) return this.#passedOver(file, `is larger than ${mostBytes / 1024} KiB`)
      const bytes = readFileSync(real)
      if (bytes.includes(0)) return this.#passedOver(file, 'is no text')
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    } catch (error) {
      if (error instanceof TypeError) return this.#passedOver(file, 'is not in UTF-8')
      const code = systemCode(error) ?? 'failed'
      return ['ENOENT', 'ENOTDIR'].includes(code) ? undefined : this.#passedOver(file, `cannot be read: ${code}`)
    }
  }

  #passedOver(file: string, why: string): undefined {
    this.note(`${file} ${why}`)
  }
}
