import { type Command, InvalidArgumentError } from 'commander'
import { printable } from '../domain/format-text.ts'
import { shortId } from '../domain/snapshot-id.ts'
import type { Ports } from '../usecases/ports.ts'
import {
  type ConfiguredWorkspace,
  configure,
  configureForHistory,
  openWorkspace,
  type Workspace,
} from '../usecases/workspace.ts'
import type { Output } from './output.ts'

/** What every command is given. */
export type Context = {
  readonly ports: Ports
  readonly output: Output
  readonly directory: string
}

/** A command's file: adds its arguments, options, help and action to an empty command. */
export type DefineCommand = (command: Command, context: Context) => void

export async function workspaceOf(context: Context): Promise<Workspace> {
  return openWorkspace(context.ports, context.directory)
}

export async function configuredWorkspace(context: Context): Promise<ConfiguredWorkspace> {
  return configure(await workspaceOf(context))
}

/** For commands that open no service. */
export async function historyWorkspace(context: Context): Promise<ConfiguredWorkspace> {
  return configureForHistory(await workspaceOf(context))
}

/** Runs something that changes the environment, alone. */
export async function alone<T>(
  context: Context,
  workspace: Workspace,
  options: { readonly command: string; readonly wait?: boolean | undefined },
  work: () => Promise<T>,
): Promise<T> {
  // Behind it is all that recovery needs, which commands that only look do without.
  const { asActivity } = await import('../usecases/activity.ts')
  return asActivity(
    workspace,
    {
      command: options.command,
      wait: options.wait ?? false,
      onRecovered: ({ direction, journal, warnings }) => {
        const what = `${journal.operation} of ${shortId(journal.snapshot)}, which was cut short, was`
        context.output.warn(`a ${what} ${direction === 'forward' ? 'finished' : 'taken back: all is as before it'}`)
        for (const text of warnings) context.output.warn(text)
      },
    },
    work,
  )
}

/** Rows as columns, padded; everything in them is made printable. */
export function columns(rows: readonly (readonly string[])[], indent = '  '): string[] {
  const clean = rows.map((row) => row.map(printable))
  const widths: number[] = []
  for (const row of clean) {
    for (let i = 0; i < row.length; i++) widths[i] = Math.max(widths[i] ?? 0, row[i]!.length)
  }
  // One string that grows: thousands of rows would else leave as many arrays of padded cells behind.
  return clean.map((row) => {
    let line = indent
    for (let i = 0; i < row.length; i++) line += i + 1 < row.length ? `${row[i]!.padEnd(widths[i]!)}  ` : row[i]!
    return line.trimEnd()
  })
}

/** A comma-separated option that may be given several times. */
export function list(value: string, earlier: readonly string[] = []): string[] {
  const items = value.split(',').filter((item) => item !== '')
  if (items.length === 0) throw new InvalidArgumentError('a name is needed')
  return [...earlier, ...items]
}
