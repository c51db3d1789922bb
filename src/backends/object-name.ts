import { EnvError } from '../domain/errors.ts'

const objectName = /^(?!\.\.?(?:\/|$))[a-z0-9._-]+(?:\/(?!\.\.?(?:\/|$))[a-z0-9._-]+)*$/

/** Whether a name keeps to the rules of the port: `/`-separated segments of `[a-z0-9._-]`, none of them `.` or `..`. */
export function isObjectName(name: string): boolean {
  return objectName.test(name)
}

/** Every backend's verbs begin with this, so that no name can lead out of the store. */
export function checkObjectName(name: string): void {
  if (!isObjectName(name)) throw new EnvError('bug', `not a name of a stored object: ${JSON.stringify(name)}`)
}

/** A prefix for `list`: the beginning of an object's name, or empty. */
export function checkObjectPrefix(prefix: string): void {
  if (prefix !== '' && !isObjectName(`${prefix}x`)) {
    throw new EnvError('bug', `not the beginning of a stored object's name: ${JSON.stringify(prefix)}`)
  }
}

export function noSuchObject(location: string, name: string): EnvError {
  return new EnvError('not-found', `${location} has no ${name}`)
}

export function shortObject(location: string, name: string, wanted: number, there: number): EnvError {
  return new EnvError('damaged', `${name} in ${location} is cut short: ${wanted} bytes wanted, ${there} there`)
}
