import { access } from 'node:fs/promises'
import path from 'node:path'
import { configFileName } from '../domain/config-file.ts'
import { EnvError } from '../domain/errors.ts'
import { bytePath } from '../domain/tree.ts'
import type { Project, Survey } from '../services/service-driver.ts'
import { replaceFile } from '../system/durable-file.ts'
import { neededConsent } from './allow.ts'
import { configText, type Proposed } from './config-text.ts'
import { addLocalVariables, knownLocalVariables, type LocalAdditions } from './local-variables.ts'
import { type ConfiguredWorkspace, configure, openStore, storeLocation, type Workspace } from './workspace.ts'

export type InitResult = {
  readonly configFile: string
  readonly configWritten: boolean
  readonly storeCreated: boolean
  readonly storeLocation: string
  readonly found: readonly (Proposed & { readonly ignored: boolean })[]
  /** What was seen and is not in the configuration, and files that were passed over. */
  readonly survey: Survey
  /** Names of the variables that went into the local file, or could not. */
  readonly local: LocalAdditions
  /** Variables that the configuration names and nothing sets. */
  readonly unset: readonly string[]
  /** What the configuration names that waits for `git env allow`. */
  readonly consent: readonly string[]
  readonly workspace: ConfiguredWorkspace
}

const nothing: Survey = { seen: [], notes: [] }

/** Writes a configuration from what the project has, unless there is one, and makes the store, unless there is one. */
export async function init(workspace: Workspace): Promise<InitResult> {
  if (workspace.git.topLevel === undefined) {
    throw new EnvError('refused', 'this is a bare repository', { hint: 'run git env init in a work tree' })
  }
  const file = path.join(workspace.directory, configFileName)
  const exists = await access(file).then(
    () => true,
    () => false,
  )
  const detected = exists ? { found: [], secrets: new Map(), survey: nothing } : await detect(workspace)
  // The configuration is last: what is cut short before it begins again.
  const local = await addLocalVariables(workspace, detected.secrets)
  if (!exists) await replaceFile(file, [Buffer.from(configText(detected.found))], { mode: 0o644 })
  const configured = await configure(workspace)
  const storeCreated = await ensureStore(configured)
  return {
    configFile: file,
    configWritten: !exists,
    storeCreated,
    storeLocation: storeLocation(configured),
    found: detected.found,
    survey: detected.survey,
    local,
    unset: await unsetVariables(configured),
    consent: configured.allowed ? [] : await neededConsent(configured),
    workspace: configured,
  }
}

/** Whether a store was made. One that is at the place already is taken: another clone's, or this one's from an init that was cut short. */
async function ensureStore(workspace: ConfiguredWorkspace): Promise<boolean> {
  const { ports, state } = workspace
  if ((await state.storeId()) !== undefined) {
    await openStore(workspace)
    return false
  }
  const location = storeLocation(workspace)
  try {
    await state.recordStoreId((await ports.openStore(location, undefined)).id)
    return false
  } catch (error) {
    if (!(error instanceof EnvError) || error.code !== 'not-found') throw error
  }
  const store = await ports.createStore(location, ports.newId())
  await state.recordStoreId(store.id)
  return true
}

type Detection = Pick<InitResult, 'found' | 'survey'> & { readonly secrets: ReadonlyMap<string, string> }

async function detect({ ports, git, directory }: Workspace): Promise<Detection> {
  const found: InitResult['found'][number][] = []
  const secrets = new Map<string, string>()
  const project: Project = { directory, tracked: await git.trackedPaths(), variables: ports.variables }
  for (const type of ports.driverTypes) {
    const driver = await ports.loadDriver(type)
    for (const each of await driver.detect(project)) {
      const { config, reason } = each
      const ignored = typeof config['path'] !== 'string' || (await git.isIgnored(bytePath(config['path'])))
      found.push({ name: freeName(each.name, found), config, reason, type, kind: driver.kind, ignored })
      for (const [name, value] of Object.entries(each.secrets ?? {})) secrets.set(name, value)
    }
  }
  return { found, secrets, survey: await ports.surveyServices(project, ports.driverTypes) }
}

function freeName(name: string, found: readonly Proposed[]): string {
  let free = name
  for (let n = 2; found.some((each) => each.name === free); n++) free = `${name}-${n}`
  return free
}

async function unsetVariables(workspace: ConfiguredWorkspace): Promise<string[]> {
  const local = await knownLocalVariables(workspace)
  const text = JSON.stringify(workspace.config.services.map(({ settings }) => settings))
  const names = [...text.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g)].map(([, name]) => name!)
  return [...new Set(names)].filter((name) => workspace.ports.variables[name] === undefined && !local.has(name))
}
