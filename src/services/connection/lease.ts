import { hostname } from 'node:os'
import { EnvError, systemCode } from '../../domain/errors.ts'
import type { Reservation } from '../service-driver.ts'

/** A lock in a server that ends none by itself: one that its owner no longer renews is over. */
export type Lease = { readonly host: string; readonly pid: number; readonly until: number }

const leaseMs = 90_000
const renewalMs = 20_000

export function newLease(): Lease {
  return { host: hostname(), pid: process.pid, until: Date.now() + leaseMs }
}

/** Its time is over, or its process, where that was on this machine. */
export function isOver({ host, pid, until }: Lease): boolean {
  if (until < Date.now()) return true
  if (host !== hostname()) return false
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return systemCode(error) === 'ESRCH'
  }
}

export function takenBy({ host, pid }: Lease, name: string, place: string): EnvError {
  return new EnvError('busy', `${name}: another git-env is at work on ${place}: process ${pid} on ${host}`, {
    hint: 'wait for it to end',
  })
}

/** Renews a lease until it is released; `renew` writes a new one in the place of ours, `drop` takes ours away. */
export function keepLease(lease: { renew(): Promise<void>; drop(): Promise<void> }): Reservation {
  let work = Promise.resolve()
  const timer = setInterval(() => {
    work = work.then(() => lease.renew())
    work.catch(() => {})
  }, renewalMs)
  timer.unref()
  return {
    release: async () => {
      clearInterval(timer)
      await work.catch(() => {})
      await lease.drop()
    },
  }
}
