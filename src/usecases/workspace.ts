import { readFile, realpath } from 'node:fs/promises'
import path from 'node:path'
import type { Config, SchemaOf, ServiceConfig } from '../domain/config.ts'
import { configFileName } from '../domain/config-file.ts'
import { type Environment, environmentOf } from '../domain/environment.ts'
import { EnvError, systemCode } from '../domain/errors.ts'
import { bytePath, isWithin } from '../domain/tree.ts'
import type { GitRepository } from '../git/git-repository.ts'
import type { Service } from '../services/service-driver.ts'
import type { Store } from '../store/store.ts'
import { LocalState } from './local-state.ts'
import { localFileName, readLocalVariables } from './local-variables.ts'
import type { Ports } from './ports.ts'

/** A repository's work tree with its environment, as a command finds it. */
export type Workspace = {
  readonly ports: Ports
  readonly git: GitRepository
  readonly state: LocalState
  readonly environment: Environment
  /** Top folder of the work tree, real path. */
  readonly directory: string
  /** Names this work tree among those of the repository. */
  readonly worktreeKey: string
}

/** A workspace with its configuration. */
export type ConfiguredWorkspace = Workspace & {
  readonly config: Config
  readonly configText: string
  readonly allowed: boolean
}

export async function openWorkspace(ports: Ports, directory: string): Promise<Workspace> {
  const git = await ports.openGit(directory)
  const head = await git.head()
  return {
    ports,
    git,
    state: new LocalState(git.commonDirectory),
    environment: environmentOf(head.ref),
    directory: git.topLevel ?? git.gitDirectory,
    worktreeKey: git.gitDirectory === git.commonDirectory ? 'main' : `worktree-${path.basename(git.gitDirectory)}`,
  }
}

/** The same workspace, out of reach of a Ctrl-C: for going back after one. */
export async function uninterrupted<W extends Workspace>(workspace: W): Promise<W> {
  const { signal } = new AbortController()
  const git = await workspace.ports.openGit(workspace.directory, signal)
  return { ...workspace, git, ports: { ...workspace.ports, signal } }
}

/** With the configuration of the work tree, or `configText` where a journal kept another. */
export async function configure(workspace: Workspace, configText?: string): Promise<ConfiguredWorkspace> {
  const text = configText ?? (await readConfigText(workspace))
  return withConfig(workspace, text, async (type) => (await workspace.ports.loadDriver(type)).schema)
}

/**
 * For commands that look at history and store alone: loads no driver, and so must open no service.
 * A text without the word names no store of its own, and need not be parsed to know where the store is.
 */
export async function configureForHistory(workspace: Workspace): Promise<ConfiguredWorkspace> {
  const text = await readConfigText(workspace)
  if (/store/.test(text)) return withConfig(workspace, text, undefined)
  const config = { services: [], rebuilds: [], names: {}, hooks: {}, retentionDays: 0, store: undefined }
  return { ...workspace, config, configText: text, allowed: false }
}

async function withConfig(
  workspace: Workspace,
  text: string,
  schemaOf: SchemaOf | undefined,
): Promise<ConfiguredWorkspace> {
  const { parseConfig } = await import('../domain/config.ts')
  const config = await parseConfig(text, schemaOf)
  return { ...workspace, config, configText: text, allowed: await workspace.state.isAllowed(config) }
}

/** From the work tree; where the file is gone, as in a ruined work tree, from HEAD. */
async function readConfigText(workspace: Workspace): Promise<string> {
  try {
    return await readFile(path.join(workspace.directory, configFileName), 'utf8')
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') {
      throw new EnvError('unavailable', `${configFileName} cannot be read`, { cause: error })
    }
    const { commit } = await workspace.git.head()
    const committed = commit === undefined ? undefined : await workspace.git.readFile(commit, configFileName)
    if (committed) return Buffer.from(committed).toString('utf8')
    throw new EnvError('refused', `there is no ${configFileName} in ${workspace.directory}`, {
      hint: 'git env init writes one',
    })
  }
}

/** The store that was recorded at init. One that is absent or another one is refused, never made anew. */
export async function openStore(workspace: ConfiguredWorkspace): Promise<Store> {
  const id = await workspace.state.storeId()
  if (id === undefined) {
    throw new EnvError('refused', 'this clone has no store yet', { hint: 'git env init makes one' })
  }
  return workspace.ports.openStore(storeLocation(workspace), id)
}

export function storeLocation(workspace: ConfiguredWorkspace): string {
  const { store } = workspace.config
  if (store === undefined) return workspace.state.defaultStore
  if (!workspace.allowed) {
    throw new EnvError('refused', `the configuration names a store of its own: ${store}`, {
      hint: 'look at it, then: git env allow',
    })
  }
  return path.resolve(workspace.directory, store)
}

/** Opens services and mounts by name (all when `names` is undefined), mounts last. The caller closes them. */
export async function openServices(workspace: ConfiguredWorkspace, names?: readonly string[]): Promise<Service[]> {
  const { config } = workspace
  for (const name of names ?? []) {
    if (!config.services.some((service) => service.name === name)) {
      const known = config.services.map((service) => service.name).join(', ') || 'none'
      throw new EnvError('not-found', `no service or mount is named ${JSON.stringify(name)}`, {
        hint: `configured: ${known}`,
      })
    }
  }
  const chosen = config.services.filter((service) => names?.includes(service.name) ?? true)
  const opened: Service[] = []
  try {
    const volumes = new Set<string>()
    for (const { name, kind, type } of config.services) {
      if (kind === 'service' && (await workspace.ports.loadDriver(type)).kind === 'mount') volumes.add(name)
    }
    const owned = new Map<string, Service>()
    const open = async (services: readonly ServiceConfig[], foreign: ReadonlySet<string>) => {
      for (const service of services) owned.set(service.name, await openService(workspace, service, foreign))
    }
    // What lies in whose folder: services keep what is theirs within a volume, and both within a mount.
    const others = config.services.filter(({ name, kind }) => kind === 'service' && !volumes.has(name))
    await open(others, new Set())
    await open(
      config.services.filter(({ name }) => volumes.has(name)),
      volumes.size > 0 ? await foreignPaths(workspace, [...owned.values()]) : new Set(),
    )
    const foreign = await foreignPaths(workspace, [...owned.values()])
    for (const service of chosen) {
      opened.push(owned.get(service.name) ?? (await openService(workspace, service, foreign)))
      owned.delete(service.name)
    }
    await Promise.all([...owned.values()].map((service) => service.close()))
    refuseOverlap(opened, volumes)
    return opened
  } catch (error) {
    await closeAll(opened)
    throw error
  }
}

export async function closeAll(services: readonly Service[]): Promise<void> {
  await Promise.allSettled(services.map((service) => service.close()))
}

async function openService(workspace: ConfiguredWorkspace, config: ServiceConfig, foreign: ReadonlySet<string>) {
  const { ports, state, environment, directory, allowed, git } = workspace
  const driver = await ports.loadDriver(config.type)
  const local = await readLocalVariables(workspace)
  const forbidden = [git.commonDirectory, git.gitDirectory]
  if (workspace.config.store !== undefined) forbidden.push(path.resolve(directory, workspace.config.store))
  return driver.open(config.settings, {
    name: config.name,
    environmentKey: environment.key,
    nameHere: workspace.config.names[environment.name]?.[config.name],
    variable: (name) => ports.variables[name] ?? local.get(name),
    commands: {
      environment: { ...Object.fromEntries(local), ...ownVariables(workspace) },
      secrets: [...local.values()],
    },
    projectDirectory: directory,
    forbidden: await Promise.all(forbidden.map((name) => realpath(name).catch(() => name))),
    privateDirectory: state.serviceDirectory(environment.key, config.name),
    allowed,
    foreign,
    trace: ports.trace,
    signal: ports.signal,
  })
}

/** What every command of the project's own runs with. */
export function ownVariables({ ports, environment }: Workspace): Readonly<Record<string, string | undefined>> {
  return { ...ports.variables, GIT_ENV_HOOK: '1', GIT_ENV_ENVIRONMENT: environment.name }
}

/** Tracked files and the files of services: they are not a mount's, even inside it. */
async function foreignPaths(workspace: Workspace, services: readonly Service[]): Promise<Set<string>> {
  const paths = new Set(services.flatMap((service) => service.resources.map(bytePath)))
  if (workspace.git.topLevel === undefined) return paths
  for (const tracked of await workspace.git.trackedPaths()) {
    paths.add(`${bytePath(workspace.directory)}/${tracked}`)
  }
  return paths
}

/** A volume inside a mount stays the volume's, as every service's files do; anything else of this kind is a mistake. */
function refuseOverlap(services: readonly Service[], volumes: ReadonlySet<string>): void {
  const mounts = services.filter((service) => service.driver.kind === 'mount')
  for (const a of mounts) {
    for (const b of mounts) {
      const isKept = volumes.has(b.name) && !volumes.has(a.name)
      const clash = a !== b && !isKept && a.resources.some((x) => b.resources.some((y) => isWithin(x, y)))
      if (clash) {
        const kind = (name: string) => `${volumes.has(name) ? 'volume' : 'mount'} ${name}`
        throw new EnvError('usage', `the ${kind(b.name)} lies inside the ${kind(a.name)}`, {
          hint: `take it out of ${a.name} with exclude, or leave one of them out of ${configFileName}`,
        })
      }
    }
  }
}

/** How many files of the work tree are not as HEAD has them, or not in it. `opened` saves opening the services again, where it is all of them. */
export async function countUncommitted(
  workspace: ConfiguredWorkspace,
  opened: readonly Service[] = [],
): Promise<number> {
  if (workspace.git.topLevel === undefined) return 0
  if (opened.length < workspace.config.services.length) {
    const services = await openServices(workspace)
    return countUncommitted(workspace, services).finally(() => closeAll(services))
  }
  const { changed, untracked } = await workspace.git.code.status({ exclude: ownedPaths(workspace, opened) })
  return changed.length + untracked.length
}

/** Paths below the top level that belong to mounts and services, relative, as byte strings: the code's part leaves them alone. */
export function ownedPaths(workspace: Workspace, services: readonly Service[]): ReadonlySet<string> {
  const top = bytePath(workspace.directory)
  const owned = services
    .flatMap((service) => service.resources.map(bytePath))
    .filter((resource) => isWithin(top, resource) && resource !== top)
    .map((resource) => resource.slice(top.length + 1))
  // Its secrets must not get into a commit, not even into the one that keeps untracked files.
  return new Set([...owned, localFileName])
}
