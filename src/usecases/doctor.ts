import { stat, statfs } from 'node:fs/promises'
import path from 'node:path'
import { EnvError, messageOf } from '../domain/errors.ts'
import { formatBytes, plural } from '../domain/format-text.ts'
import { bytePath, isWithin } from '../domain/tree.ts'
import type { Probe, Service } from '../services/service-driver.ts'
import { readActivity } from '../system/activity-lock.ts'
import { isAlive } from '../system/process-identity.ts'
import { neededConsent } from './allow.ts'
import { dataMissing } from './data-missing.ts'
import { localFileName } from './local-variables.ts'
import { openJournals } from './recover.ts'
import { type ConfiguredWorkspace, closeAll, openServices, openStore, storeLocation } from './workspace.ts'

export type Finding = {
  readonly subject: string
  readonly level: 'ok' | 'warning' | 'problem'
  readonly text: string
  readonly hint?: string
}

/** `git env doctor`: looks at all that a snapshot or a restore will need, and changes nothing. */
export async function doctor(workspace: ConfiguredWorkspace): Promise<readonly Finding[]> {
  const checks = [
    checkConsent,
    checkLocalFile,
    checkStore,
    checkServices,
    checkRebuilds,
    checkUnfinished,
    checkActivity,
  ]
  const findings: Finding[] = []
  for (const check of checks) {
    try {
      findings.push(...(await check(workspace)))
    } catch (error) {
      findings.push(problemOf(subjectOf(check), error))
    }
  }
  return findings
}

type Check = (workspace: ConfiguredWorkspace) => Promise<Finding[]>

function subjectOf(check: Check): string {
  return check.name.replace(/^check/, '').toLowerCase()
}

async function checkConsent(workspace: ConfiguredWorkspace): Promise<Finding[]> {
  if (workspace.allowed) return []
  return (await neededConsent(workspace)).map((text) => ({
    subject: 'configuration',
    level: 'problem',
    text,
    hint: 'look at it, then: git env allow',
  }))
}

async function checkStore(workspace: ConfiguredWorkspace): Promise<Finding[]> {
  const store = await openStore(workspace)
  const usage = await store.usage()
  const location = storeLocation(workspace)
  const { bavail, bsize } = await statfs(location)
  const free = bavail * bsize
  const missing = await dataMissing(workspace)
  const text = `${plural(usage.manifests, 'snapshot')}, ${formatBytes(usage.bytes)}, ${formatBytes(free)} free, in ${location}`
  const findings: Finding[] = [{ subject: 'store', level: free < 1 << 28 ? 'warning' : 'ok', text }]
  if (missing.length > 0) {
    findings.push({
      subject: 'store',
      level: 'warning',
      text: `the data of ${plural(missing.length, 'snapshot')} in Git is not here`,
      hint: 'they were taken in another clone, or their store was lost; git env log --snapshots --all shows which',
    })
  }
  return findings
}

/** Its secrets must not get into a commit, and are nobody else's to read. */
async function checkLocalFile({ directory, git }: ConfiguredWorkspace): Promise<Finding[]> {
  const found = await stat(path.join(directory, localFileName)).catch(() => undefined)
  if (!found) return []
  const warn = (text: string, hint: string): Finding => ({ subject: localFileName, level: 'warning', text, hint })
  const findings: Finding[] = []
  if (git.topLevel !== undefined && !(await git.isIgnored(bytePath(localFileName)))) {
    findings.push(warn('git does not ignore it, and it holds secrets', `add ${localFileName} to .gitignore`))
  }
  if ((found.mode & 0o077) !== 0) {
    findings.push(warn('other users of this machine may read it', `chmod 600 ${localFileName}`))
  }
  return findings
}

/** One service that cannot be looked at hides nothing of the others. */
async function checkServices(workspace: ConfiguredWorkspace): Promise<Finding[]> {
  const findings: Finding[] = []
  const services = await openServices(workspace)
  try {
    for (const service of services) {
      try {
        findings.push(...findingsOf(service, await service.probe()), ...(await checkIgnored(workspace, service)))
      } catch (error) {
        findings.push(problemOf(service.name, error))
      }
    }
  } finally {
    await closeAll(services)
  }
  return findings
}

async function checkRebuilds({ config }: ConfiguredWorkspace): Promise<Finding[]> {
  return config.rebuilds.map(({ name, command }) => ({
    subject: name,
    level: 'ok',
    text: `not stored; rebuilt after a restore by ${command.join(' ')}`,
  }))
}

function findingsOf({ name }: Service, { presence, summary, rung, advice, warnings }: Probe): Finding[] {
  const level = presence === 'present' ? 'ok' : 'problem'
  const hint = advice ?? (level === 'ok' ? undefined : 'git env restore brings it back')
  const first: Finding = { subject: name, level, text: `${summary}; ${rung}`, ...(hint === undefined ? {} : { hint }) }
  return [first, ...warnings.map((text): Finding => ({ subject: name, level: 'warning', text }))]
}

function problemOf(subject: string, error: unknown): Finding {
  const hint = error instanceof EnvError ? error.hint : undefined
  const message = messageOf(error)
  const text = message.startsWith(`${subject}: `) ? message.slice(subject.length + 2) : message
  return { subject, level: 'problem', text, ...(hint === undefined ? {} : { hint }) }
}

/** Data that git does not ignore ends up in a commit one day, and in the way of every checkout. */
async function checkIgnored(workspace: ConfiguredWorkspace, service: Service): Promise<Finding[]> {
  const top = bytePath(workspace.directory)
  const resource = bytePath(service.place)
  if (!isWithin(top, resource) || workspace.git.topLevel === undefined) return []
  const relative = resource.slice(top.length + 1)
  // A folder that is not there is known as one by the slash alone.
  if ((await workspace.git.isIgnored(relative)) || (await workspace.git.isIgnored(`${relative}/`))) return []
  return [
    {
      subject: service.name,
      level: 'warning',
      text: `${service.place.slice(workspace.directory.length + 1)} is not ignored by git`,
      hint: 'add it to .gitignore, so that nobody commits the data with the code',
    },
  ]
}

async function checkUnfinished(workspace: ConfiguredWorkspace): Promise<Finding[]> {
  return (await openJournals(workspace)).map((journal) => ({
    subject: 'restore',
    level: 'problem',
    text: `restore ${journal.id} was cut short in state ${journal.state}`,
    hint: 'git env recover finishes it or takes it back',
  }))
}

async function checkActivity({ state, worktreeKey }: ConfiguredWorkspace): Promise<Finding[]> {
  const activity = await readActivity(state.activityFile(worktreeKey))
  const owner = activity?.owners.find(isAlive)
  if (!activity || !owner || owner.pid === process.pid) return []
  return [{ subject: 'activity', level: 'ok', text: `git env ${activity.command} is running, process ${owner.pid}` }]
}
