import path from 'node:path'
import type { Config, ServiceConfig } from '../domain/config.ts'
import { isThisMachine } from '../domain/host.ts'
import { knownLocalVariables } from './local-variables.ts'
import type { ConfiguredWorkspace } from './workspace.ts'

type Configured = Pick<ConfiguredWorkspace, 'config' | 'directory'>

/**
 * What a configuration names that a stranger's must not be given without a word: one line each, for people. With `variable`, what the
 * configuration leaves to a variable is judged by what that stands for now.
 */
export function consentLines(
  { config, directory }: Configured,
  variable?: (name: string) => string | undefined,
): string[] {
  const lines = config.services.flatMap((service) => [
    ...outsideLines(service, config, directory),
    ...commandLines(service),
    ...serverLines(service, variable),
  ])
  for (const { name, command } of config.rebuilds) lines.push(`${name} is rebuilt by a command: ${command.join(' ')}`)
  for (const [name, words] of Object.entries(config.hooks)) lines.push(`the ${name} hook runs: ${words.join(' ')}`)
  if (config.store !== undefined) lines.push(`the store: ${path.resolve(directory, config.store)}`)
  return lines
}

/** What of it needs consent as things stand: a variable that names this machine needs none. */
export async function neededConsent(workspace: ConfiguredWorkspace): Promise<string[]> {
  const local = await knownLocalVariables(workspace)
  return consentLines(workspace, (name) => workspace.ports.variables[name] ?? local.get(name))
}

/** `git env allow`: consents to what the configuration names now; another configuration needs consent of its own. */
export async function allow(workspace: ConfiguredWorkspace): Promise<readonly string[]> {
  await workspace.state.allow(workspace.config)
  return consentLines(workspace)
}

/** Paths of files and folders, and the names by environment that take their place. */
function outsideLines({ name, settings }: ServiceConfig, { names }: Config, directory: string): string[] {
  if (typeof settings['path'] !== 'string') return []
  const places: [string, string][] = [['', settings['path']]]
  for (const [branch, given] of Object.entries(names)) {
    if (given[name] !== undefined) places.push([` on ${branch}`, given[name]])
  }
  return places.flatMap(([where, target]) => {
    const resolved = path.resolve(directory, target)
    const isOutside = resolved !== directory && !resolved.startsWith(`${directory}/`)
    return isOutside ? [`${name} lies outside the project${where}: ${resolved}`] : []
  })
}

/** Of services that are stopped, dumped or restored by commands of the project's own. */
function commandLines({ name, settings }: ServiceConfig): string[] {
  return ['stop', 'start', 'dump', 'restore'].flatMap((key) => {
    const words = settings[key]
    return Array.isArray(words) ? [`to ${key} ${name} it runs: ${words.join(' ')}`] : []
  })
}

function serverLines({ name, settings }: ServiceConfig, variable?: (name: string) => string | undefined): string[] {
  const { url, run } = settings
  const lines = Array.isArray(run) ? [`${name} is reached by a command: ${run.join(' ')}`] : []
  if (typeof url !== 'string') return lines
  const whole = /^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$/.exec(url)?.[1]
  if (whole !== undefined && !variable) return [...lines, `${name} is wherever the variable ${whole} says`]
  const host = hostOf(whole === undefined ? url : variable?.(whole))
  if (host === undefined) return lines
  const unknown = !variable && host.includes('${')
  const here = variable ? host.replaceAll(/\$\{(\w+)\}/g, (_, key: string) => variable(key) ?? 'localhost') : host
  if (unknown) return [...lines, `${name} is on ${host}, which may be any machine`]
  return here === '' || isThisMachine(here) ? lines : [...lines, `${name} is on ${here}, which is not this machine`]
}

/** undefined where a socket takes the host's place, and for what is no url: that is refused elsewhere. */
function hostOf(url: string | undefined): string | undefined {
  const parsed = url === undefined ? null : URL.parse(url)
  const socketPath = parsed?.searchParams.getAll('socketPath').at(-1) ?? ''
  if (!parsed || (socketPath !== '' && !socketPath.includes('${'))) return undefined
  try {
    return decodeURIComponent(parsed.hostname).replace(/^\[|\]$/g, '')
  } catch {
    return undefined
  }
}
