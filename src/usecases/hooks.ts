import type { Hooks } from '../domain/config.ts'
import { EnvError } from '../domain/errors.ts'
import { armCommand, type CommandOptions, runCommand } from '../system/run-command.ts'
import { type ConfiguredWorkspace, ownVariables } from './workspace.ts'

/** No hook may take longer, in milliseconds: an application must not stay in maintenance because a command hangs. */
const limitMs = 60_000

/** Makes the application pause; `thaw` lets it go on, and tells what went wrong with that. */
export type Freeze = () => Promise<{ thaw(): Promise<string | undefined> }>

/** The freeze and thaw hooks as one; undefined where there are none. Throws `refused` where they are not consented to. */
export function freezeOf(workspace: ConfiguredWorkspace): Freeze | undefined {
  const { freeze, thaw } = workspace.config.hooks
  if (!freeze && !thaw) return undefined
  refuseUnallowed(workspace, freeze ? 'freeze' : 'thaw')
  const options = optionsOf(workspace)
  return async () => {
    // Armed first: from here on it runs, whatever becomes of this process.
    const armed = thaw && armCommand(thaw, options)
    const undo = async () => {
      const failure = (await armed?.fire())?.failure
      return failure && `the thaw hook ${thaw!.join(' ')} did not work: ${failure}`
    }
    const failure = freeze && (await runCommand(freeze, options)).failure
    if (failure === undefined) return { thaw: undo }
    const second = await undo()
    throw new EnvError('unavailable', `the freeze hook ${freeze!.join(' ')} did not work: ${failure}`, {
      hint: second ?? 'nothing was taken; the thaw hook was run',
    })
  }
}

/** Gives what to tell people when it did not work: the restore itself is done. */
export async function runAfterRestore(workspace: ConfiguredWorkspace): Promise<string | undefined> {
  const words = workspace.config.hooks['after-restore']
  if (!words) return undefined
  const said = `the after-restore hook ${words.join(' ')}`
  if (!workspace.allowed) return `${said} was not run: it needs git env allow`
  const { failure } = await runCommand(words, optionsOf(workspace))
  return failure && `${said} did not work: ${failure}`
}

/** Before anything is touched: hooks that would be refused only at the end. */
export function refuseUnallowed(workspace: ConfiguredWorkspace, name: keyof Hooks): void {
  const words = workspace.config.hooks[name]
  if (!words || workspace.allowed) return
  throw new EnvError('refused', `the configuration wants to run a command as its ${name} hook: ${words.join(' ')}`, {
    hint: 'look at it, then: git env allow',
  })
}

/**
 * Runs what services are built again by instead of being stored, one after the other. Gives what to tell people of those that did not work: the
 * restore itself is done.
 */
export async function runRebuilds(workspace: ConfiguredWorkspace): Promise<string[]> {
  const warnings: string[] = []
  for (const { name, command, limitSeconds } of workspace.config.rebuilds) {
    const said = `${name} is not up to date: ${command.join(' ')}`
    if (!workspace.allowed) {
      warnings.push(`${said} was not run: it needs git env allow; then run it yourself`)
      continue
    }
    workspace.ports.progress.phase(`rebuilding ${name}`)
    const { failure } = await runCommand(command, { ...optionsOf(workspace), limitMs: limitSeconds * 1000 })
    if (failure !== undefined) warnings.push(`${said} did not work: ${failure}; when that is mended, run it again`)
  }
  return warnings
}

/** Before anything is touched: what would be refused only at the end. */
export function refuseUnallowedRebuilds({ config, allowed }: ConfiguredWorkspace): void {
  const [first] = config.rebuilds
  if (!first || allowed) return
  throw new EnvError(
    'refused',
    `the configuration wants to rebuild ${first.name} by a command: ${first.command.join(' ')}`,
    {
      hint: 'look at it, then: git env allow',
    },
  )
}

function optionsOf(workspace: ConfiguredWorkspace): CommandOptions {
  return { directory: workspace.directory, limitMs, environment: ownVariables(workspace) }
}
