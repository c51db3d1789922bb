import { EnvError, type ErrorCode, messageOf } from '../../domain/errors.ts'

/** Primary result codes. Source: sqlite.org/rescode.html. */
const kinds: Readonly<Record<number, ErrorCode>> = {
  5: 'busy',
  6: 'busy',
  8: 'unavailable',
  10: 'unavailable',
  11: 'damaged',
  13: 'unavailable',
  14: 'unavailable',
  26: 'damaged',
}

const writable =
  'SQLite writes beside the database too: is its folder on a read-only file system, or not writable for this user?'

const hints: Readonly<Record<number, string>> = {
  8: writable,
  13: 'make room on that file system and run the command again',
  14: writable,
}

export function resultCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown } | null)?.errcode
  return typeof code === 'number' ? code & 0xff : undefined
}

/** Busy, also in the form that `backup` gives it: "not an error", code 0. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error)
  return code === 5 || code === 6 || (code === 0 && messageOf(error) === 'not an error')
}

export function isCorrupt(error: unknown): boolean {
  const code = resultCode(error)
  return code === 11 || code === 26 || (error instanceof EnvError && error.code === 'damaged')
}

/** What SQLite threw, as one of ours that names the database. */
export function sqliteError(path: string, error: unknown): EnvError {
  if (error instanceof EnvError) return error
  const code = resultCode(error)
  if (code === undefined) return new EnvError('unavailable', `${path}: ${messageOf(error)}`, { cause: error })
  return new EnvError(isBusy(error) ? 'busy' : (kinds[code] ?? 'refused'), `${path}: SQLite says ${messageOf(error)}`, {
    cause: error,
    ...(hints[code] === undefined ? {} : { hint: hints[code] }),
  })
}
