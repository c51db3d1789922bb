import { EnvError, type ErrorCode, exitCodes, messageOf } from '../domain/errors.ts'
import type { SerializedError } from './ports.ts'

/** An error as data: what `--json` ends with, and what one process tells another. */
export function errorData(error: unknown): SerializedError {
  if (!(error instanceof EnvError)) return { code: 'bug', message: messageOf(error) }
  return {
    code: error.code,
    message: error.message,
    ...(error.cause === undefined ? {} : { cause: messageOf(error.cause) }),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  }
}

export function errorOf(data: SerializedError): EnvError {
  const code = data.code in exitCodes ? (data.code as ErrorCode) : 'bug'
  return new EnvError(code, data.message, {
    ...(data.hint === undefined ? {} : { hint: data.hint }),
    ...(data.cause === undefined ? {} : { cause: new Error(data.cause) }),
  })
}
