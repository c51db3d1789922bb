import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { EnvError } from '../../domain/errors.ts'
import { identify, isAlive, type ProcessIdentity } from '../../system/process-identity.ts'
import { killGroup } from '../../system/stream-command.ts'

const fileName = 'running'
const patienceMs = 10_000

/** Writes down which command is at work: should this process die, the next one must not run a second beside it. */
export function noteRunning(area: string, pid: number): void {
  writeFileSync(path.join(area, fileName), JSON.stringify(identify(pid)))
}

export function forgetRunning(area: string): void {
  rmSync(path.join(area, fileName), { force: true })
}

/** Ends the command that a process which died had started, and waits until it is gone. */
export async function endRunning(area: string): Promise<void> {
  const running = read(area)
  for (const end = performance.now() + patienceMs; running && isAlive(running); await sleep(20)) {
    killGroup(running.pid)
    if (performance.now() < end) continue
    throw new EnvError('busy', `a command that was started before is still at work, process ${running.pid}`, {
      hint: 'end it, then: git env recover',
    })
  }
  forgetRunning(area)
}

function read(area: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(path.join(area, fileName), 'utf8')) as ProcessIdentity
  } catch {
    return undefined
  }
}
