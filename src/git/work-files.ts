import type { BigIntStats, PathLike } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { systemCode } from '../domain/errors.ts'

/** undefined when nothing is there, also when a parent is not a folder. */
export async function lstatOrUndefined(file: PathLike): Promise<BigIntStats | undefined> {
  try {
    return await lstat(file, { bigint: true })
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined
    throw error
  }
}
