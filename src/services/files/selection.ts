import { EnvError } from '../../domain/errors.ts'
import { bytePath, isWithin } from '../../domain/tree.ts'

/** Where a path lies: `in` what is restored, `above` it (a folder on the way to it), or `out`. */
export type Place = 'in' | 'above' | 'out'

/** Which part of a mount a restore is about. */
export class Selection {
  readonly #paths: readonly string[] | undefined

  /** `only` as a person gave it: paths below the mount, text. undefined: all. */
  constructor(only: readonly string[] | undefined) {
    const paths = only?.map((path) => bytePath(path.replace(/^(\.?\/)+/, '').replace(/\/+$/, '')))
    for (const path of paths ?? []) {
      if (path.split('/').includes('..'))
        throw new EnvError('usage', `not a path below the mount: ${JSON.stringify(path)}`)
    }
    this.#paths = paths?.some((path) => path === '' || path === '.') ? undefined : paths
  }

  placeOf(path: string): Place {
    if (this.#paths === undefined || this.#paths.some((chosen) => isWithin(chosen, path))) return 'in'
    return this.#paths.some((chosen) => isWithin(path, chosen)) ? 'above' : 'out'
  }

  /** Chosen paths of which none of the paths that were found is, or lies in, one. */
  notAmong(found: ReadonlySet<string>): string[] {
    return (this.#paths ?? []).filter((path) => !found.has(path))
  }

  isChosen(path: string): boolean {
    return this.#paths?.includes(path) ?? false
  }
}
