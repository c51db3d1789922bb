import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import path from 'node:path'
import { EnvError, systemCode } from '../domain/errors.ts'
import { identify, isAlive, type ProcessIdentity } from './process-identity.ts'

/** What runs in an environment, as the lock file says it. */
export type Activity = {
  readonly command: string
  readonly startedAt: string
  /** The command, and the guard that finishes a swap for it: while one of them lives, the lock holds. */
  readonly owners: readonly ProcessIdentity[]
}

export type ActivityLock = {
  release(): Promise<void>
}

/**
 * Takes the lock, or throws `busy` saying what runs there. A lock whose owners are all dead is taken over.
 * `where`: what the other one does, after the words `another activity`.
 */
export async function acquireActivity(
  file: string,
  command: string,
  now: Date,
  where = 'runs in this environment',
): Promise<ActivityLock> {
  await mkdir(path.dirname(file), { recursive: true })
  const mine: Activity = { command, startedAt: now.toISOString(), owners: [identify(process.pid)] }
  for (let attempt = 0; attempt < 20; attempt++) {
    if (await createWhole(file, mine)) return lockOf(file)
    const holder = await readActivity(file)
    if (holder?.owners.some(isAlive)) throw busy(file, holder, now, where)
    await takeAway(file, holder)
  }
  throw new EnvError('busy', `the lock ${file} changes hands too fast`, { hint: 'try again' })
}

/** Names a further process as an owner of a lock, which then outlives the one that took it. */
export async function shareActivity(file: string, pid: number): Promise<void> {
  const holder = await readActivity(file)
  if (!holder) throw new EnvError('bug', `the lock ${file} is gone`)
  await replaceWhole(file, { ...holder, owners: [...holder.owners, identify(pid)] })
}

/** The lock that another process took and shared with this one. Throws `busy` when it is somebody else's. */
export async function ownActivity(file: string): Promise<ActivityLock> {
  const holder = await readActivity(file)
  const me = identify(process.pid)
  if (holder?.owners.some((owner) => owner.pid === me.pid && owner.started === me.started)) return lockOf(file)
  throw new EnvError('busy', `the lock ${file} is not shared with this process`)
}

export async function readActivity(file: string): Promise<Activity | undefined> {
  try {
    const activity = JSON.parse(await readFile(file, 'utf8')) as Activity | null
    return Array.isArray(activity?.owners) ? activity : undefined
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || error instanceof SyntaxError) return undefined
    throw error
  }
}

function lockOf(file: string): ActivityLock {
  return {
    async release() {
      const holder = await readActivity(file)
      const others = (holder?.owners ?? []).filter((owner) => owner.pid !== process.pid && isAlive(owner))
      if (holder && others.length > 0) await replaceWhole(file, { ...holder, owners: others })
      else await rm(file, { force: true })
    },
  }
}

async function createWhole(file: string, activity: Activity): Promise<boolean> {
  const temporary = await writeTemporary(file, activity)
  try {
    await link(temporary, file)
    return true
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false
    throw error
  } finally {
    await rm(temporary, { force: true })
  }
}

async function replaceWhole(file: string, activity: Activity): Promise<void> {
  await rename(await writeTemporary(file, activity), file)
}

async function writeTemporary(file: string, activity: Activity): Promise<string> {
  const temporary = `${file}.${process.pid}.new`
  await writeFile(temporary, JSON.stringify(activity), { mode: 0o600 })
  return temporary
}

/** Moves a dead lock away; puts it back when, in between, somebody alive had taken it. */
async function takeAway(file: string, dead: Activity | undefined): Promise<void> {
  const aside = `${file}.${process.pid}.dead`
  try {
    await rename(file, aside)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return
    throw error
  }
  const moved = await readActivity(aside)
  if (JSON.stringify(moved) !== JSON.stringify(dead)) await link(aside, file).catch(() => {})
  await rm(aside, { force: true })
}

function busy(file: string, holder: Activity, now: Date, where: string): EnvError {
  const seconds = Math.max(0, Math.round((now.getTime() - Date.parse(holder.startedAt)) / 1000))
  const owner = holder.owners.find(isAlive)
  const elsewhere = owner?.host === hostname() ? '' : `; if that machine is gone, remove ${file}`
  return new EnvError('busy', `another activity ${where}: git env ${holder.command}, for ${seconds} s`, {
    hint: `wait for it to end (process ${owner?.pid} on ${owner?.host}), or give --wait${elsewhere}`,
    details: { command: holder.command, startedAt: holder.startedAt, pid: owner?.pid },
  })
}
