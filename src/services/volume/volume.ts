import { EnvError } from '../../domain/errors.ts'
import type { CommandOptions } from '../../system/run-command.ts'
import type { Trace } from '../../system/trace.ts'
import type { CloneFile } from '../files/clones.ts'
import type { Mount } from '../files/mount.ts'
import type { ServiceContext } from '../service-driver.ts'

/** A volume as its parts see it. */
export type Volume = {
  readonly name: string
  /** Absolute real path, as a byte string. */
  readonly root: string
  /** The same files, wherever the folder lies for now. */
  readonly mountAt: (root: string) => Mount
  /** undefined: nothing stops whoever writes to it. */
  readonly commands: VolumeCommands | undefined
  readonly privateDirectory: string
  readonly clone: CloneFile
  readonly trace: Trace
  readonly warn: (text: string) => void
}

/** Plain data: another process runs them. */
export type VolumeCommands = {
  readonly stop: readonly string[]
  readonly start: readonly string[]
  readonly options: CommandOptions
}

type Given = {
  readonly stop?: readonly string[] | undefined
  readonly start?: readonly string[] | undefined
  readonly limitMs: number
}

export function commandsOf({ stop, start, limitMs }: Given, context: ServiceContext): VolumeCommands | undefined {
  if (!stop || !start) return undefined
  const here = (words: readonly string[]) => words.map((each) => each.replaceAll('{env}', context.environmentKey))
  const environment = { ...context.commands.environment, GIT_ENV_SERVICE: context.name }
  const options = { directory: context.projectDirectory, environment, limitMs }
  return { stop: here(stop), start: here(start), options }
}

export function refuseUnallowed({ stop, start }: Given, { name, allowed }: ServiceContext): void {
  if (allowed || !stop || !start) return
  throw new EnvError(
    'refused',
    `${name} is stopped and started by commands: ${stop.join(' ')}, and ${start.join(' ')}`,
    {
      hint: 'look at them, then: git env allow',
    },
  )
}
