import { hash } from 'node:crypto'

/** What git-env makes in a database begins with this, and no application's own does. */
const prefix = 'git_env_'

export const stateCollection = `${prefix}state`

export function isOurs(name: string): boolean {
  return name.startsWith(prefix)
}

/** What a restore makes: `new` what it staged, `old` what it set aside. */
export function nameOf(id: string, kind: 'new' | 'old', number: number | ''): string {
  return `${prefix}${id}_${kind}_${number}`
}

/** What a writer made at a name while that was exchanged, a number behind it. */
export function lateName(id: string, name: string): string {
  return `${prefix}${id}_late_${hash('sha256', name).slice(0, 12)}_`
}

/** A free name that begins so. */
export function freeName(beginning: string, isTaken: (name: string) => boolean): string {
  let number = 0
  while (isTaken(`${beginning}${number}`)) number++
  return `${beginning}${number}`
}

export function isOf(id: string, name: string): boolean {
  return name.startsWith(`${prefix}${id}_`)
}
