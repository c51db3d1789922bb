import { hash } from 'node:crypto'
import path from 'node:path'
import { EnvError } from '../../domain/errors.ts'
import { CommandFailure, commandOutput, feedCommand, type StreamOptions } from '../../system/stream-command.ts'
import type { ServiceContext } from '../service-driver.ts'

export type Commands = {
  readonly dump: readonly string[]
  readonly restore: readonly string[]
  readonly limitMs: number
  /** Equal data gives equal dumps. */
  readonly compares: boolean
}

export function refuseUnallowed({ dump, restore }: Commands, { name, allowed }: ServiceContext): void {
  if (allowed) return
  throw new EnvError(
    'refused',
    `${name} is dumped and restored by commands: ${dump.join(' ')}, and ${restore.join(' ')}`,
    {
      hint: 'look at them, then: git env allow',
    },
  )
}

/**
 * Nobody but the commands knows where the data is. This path, at which nothing lies, stands for it in locks and markers: one for each work tree and command,
 * so that data which branches of a work tree share is found out, unless `{env}` tells them apart.
 */
export function dumpedPlace({ dump }: Commands, { privateDirectory, projectDirectory }: ServiceContext): string {
  const key = hash('sha256', JSON.stringify([projectDirectory, dump])).slice(0, 16)
  return path.join(privateDirectory, '../../../dumped', key)
}

/** What the dump command prints; throws `unavailable` when it did not work. */
export async function* dumped(commands: Commands, context: ServiceContext): AsyncGenerator<Uint8Array> {
  try {
    yield* commandOutput(commands.dump, optionsOf(commands, context))
  } catch (error) {
    throw failed(error, `${context.name}: the dump command ${commands.dump.join(' ')} did not work`, {
      hint: 'nothing was taken of it; mend it, or what it dumps, then run it again',
    })
  }
}

/** Gives a dump to the restore command; throws `unavailable` when that did not work. */
export async function restored(
  file: string,
  commands: Commands,
  context: ServiceContext,
  started: (pid: number) => void,
): Promise<void> {
  try {
    await feedCommand(commands.restore, file, { ...optionsOf(commands, context), started })
  } catch (error) {
    throw failed(error, `${context.name}: the restore command ${commands.restore.join(' ')} did not work`, {})
  }
}

function optionsOf({ limitMs }: Commands, { name, projectDirectory, commands, signal }: ServiceContext): StreamOptions {
  const environment = { ...commands.environment, GIT_ENV_SERVICE: name }
  return { directory: projectDirectory, environment, limitMs, signal, secrets: commands.secrets }
}

function failed(error: unknown, what: string, options: { readonly hint?: string }): unknown {
  if (!(error instanceof CommandFailure)) return error
  return new EnvError('unavailable', `${what}: ${error.message}`, options)
}
