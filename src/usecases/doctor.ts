import { statfs } from 'node:fs/promises'
import { EnvError, messageOf } from '../domain/errors.ts'
import { formatBytes, plural } from '../domain/format-text.ts'
import { bytePath, isWithin } from '../domain/tree.ts'
import { readActivity } from '../system/activity-lock.ts'
import { isAlive } from '../system/process-identity.ts'
import { consentLines } from './allow.ts'
import { dataMissing } from './data-missing.ts'
import { openJournals } from './recover.ts'
import { probeAll, type ServiceStatus } from './status.ts'
import { type ConfiguredWorkspace, openStore, storeLocation } from './workspace.ts'

export type Finding = {
  readonly subject: string
  readonly level: 'ok' | 'warning' | 'problem'
  readonly text: string
  readonly hint?: string
}

/** `git env doctor`: looks at all that a snapshot or a restore will need, and changes nothing. */
export async function doctor(workspace: ConfiguredWorkspace): Promise<readonly Finding[]> {
  const checks = [checkConsent, checkStore, checkServices, checkUnfinished, checkActivity]
  const findings: Finding[] = []
  for (const check of checks) {
    try {
      findings.push(...(await check(workspace)))
    } catch (error) {
      const hint = error instanceof EnvError ? error.hint : undefined
      findings.push({ subject: subjectOf(check), level: 'problem', text: messageOf(error), ...(hint ? { hint } : {}) })
    }
  }
  return findings
}

type Check = (workspace: ConfiguredWorkspace) => Promise<Finding[]>

function subjectOf(check: Check): string {
  return check.name.replace(/^check/, '').toLowerCase()
}

async function checkConsent({ config, directory, allowed }: ConfiguredWorkspace): Promise<Finding[]> {
  const lines = consentLines(config, directory)
  if (lines.length === 0 || allowed) return []
  return lines.map((text) => ({
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

async function checkServices(workspace: ConfiguredWorkspace): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const service of await probeAll(workspace)) {
    const { probe, name } = service
    const level = probe.presence === 'present' ? 'ok' : 'problem'
    const hint = level === 'ok' ? {} : { hint: 'git env restore brings it back' }
    findings.push({ subject: name, level, text: `${probe.summary}; ${probe.rung}`, ...hint })
    for (const text of probe.warnings) findings.push({ subject: name, level: 'warning', text })
    findings.push(...(await checkIgnored(workspace, service)))
  }
  return findings
}

/** Data that git does not ignore ends up in a commit one day, and in the way of every checkout. */
async function checkIgnored(workspace: ConfiguredWorkspace, service: ServiceStatus): Promise<Finding[]> {
  const top = bytePath(workspace.directory)
  const resource = bytePath(service.path)
  if (!isWithin(top, resource) || workspace.git.topLevel === undefined) return []
  const relative = resource.slice(top.length + 1)
  // A folder that is not there is known as one by the slash alone.
  if ((await workspace.git.isIgnored(relative)) || (await workspace.git.isIgnored(`${relative}/`))) return []
  return [
    {
      subject: service.name,
      level: 'warning',
      text: `${service.path.slice(workspace.directory.length + 1)} is not ignored by git`,
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
