import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'

/** Tells one run of a process from every other, also when its id is given again. */
export type ProcessIdentity = {
  readonly host: string
  readonly pid: number
  /** Start time in the kernel's ticks since boot, with the boot's id; empty where the system does not say. */
  readonly started: string
}

export function identify(pid: number): ProcessIdentity {
  return { host: hostname(), pid, started: startOf(pid) }
}

/** Whether that very process still runs. A process on another machine is taken to be alive: nobody here can know. */
export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.host !== hostname()) return true
  try {
    process.kill(identity.pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  return startOf(identity.pid) === identity.started && !isZombie(identity.pid)
}

function statFields(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The second field is the command in parentheses and may hold anything, so the others are counted from its end.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

function startOf(pid: number): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
    return `${boot}:${statFields(pid)[19]}`
  } catch {
    return ''
  }
}

function isZombie(pid: number): boolean {
  try {
    return statFields(pid)[0] === 'Z'
  } catch {
    return false
  }
}
