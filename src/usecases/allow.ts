import path from 'node:path'
import type { Config } from '../domain/config.ts'
import type { ConfiguredWorkspace } from './workspace.ts'

/** What a configuration names that a stranger's must not be given without a word: one line each, for people. */
export function consentLines(config: Config, directory: string): string[] {
  const lines = config.services.flatMap(({ name, settings }) => {
    const target = settings['path']
    if (typeof target !== 'string') return []
    const resolved = path.resolve(directory, target)
    const outside = resolved !== directory && !resolved.startsWith(`${directory}/`)
    return outside ? [`${name} lies outside the project: ${resolved}`] : []
  })
  for (const [name, words] of Object.entries(config.hooks)) lines.push(`the ${name} hook runs: ${words.join(' ')}`)
  if (config.store !== undefined) lines.push(`the store: ${path.resolve(directory, config.store)}`)
  return lines
}

/** `git env allow`: consents to what the configuration names now; another configuration needs consent of its own. */
export async function allow(workspace: ConfiguredWorkspace): Promise<readonly string[]> {
  await workspace.state.allow(workspace.config)
  return consentLines(workspace.config, workspace.directory)
}
