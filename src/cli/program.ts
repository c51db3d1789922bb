import { Command, CommanderError } from 'commander'
import { EnvError, exitCodes } from '../domain/errors.ts'
import type { Context, DefineCommand } from './context.ts'

/** Every command with its summary; a command's file is loaded only when it runs. */
export const commands: Readonly<Record<string, string>> = {
  init: 'set up this repository: configuration and store',
  status: 'the environment, its services and its latest snapshot',
  list: 'all environments',
  snapshot: 'save code, data and files at one point in time',
  log: 'commits and snapshots together',
  show: 'what is in a snapshot',
  diff: 'what differs between snapshots, or between one and now',
  restore: 'bring code, data and files back together',
  undo: 'take the last restore back',
  recover: 'finish or take back a restore that was cut short',
  verify: 'check what is stored',
  export: 'write a snapshot as a tar archive',
  import: 'take an exported snapshot in',
  reindex: 'find snapshots in history again',
  doctor: 'look for what would stand in the way',
  allow: 'consent to what the configuration names outside the project',
}

const hidden = new Set(['guard'])

/** What a command adds to an empty one. */
export async function loadCommand(name: string): Promise<DefineCommand> {
  const file = new URL(`./commands/${name}${extension}`, import.meta.url).href
  const module: { readonly define: DefineCommand } = await import(file)
  return module.define
}

export function addCommonOptions(command: Command): void {
  command.option('--json', 'print the result as JSON').option('-q, --quiet', 'print errors and warnings only')
}

/** Parses and runs one command. Throws what it throws; wrong usage is an EnvError. */
export async function run(argv: readonly string[], context: Context, version: string): Promise<void> {
  const program = new Command('git env')
  program
    .description('Snapshots of a whole environment, code and data, that live in Git.')
    .version(version, '-V, --version')
    .helpCommand(true)
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .addHelpText('after', `\nExit codes:\n${exitCodeLines()}`)
  const name = argv.find((argument) => !argument.startsWith('-')) ?? ''
  // One command needs no other: making all of them would take longer than many a command itself.
  const all = { ...commands, ...Object.fromEntries([...hidden].map((each) => [each, ''])) }
  const made = Object.hasOwn(all, name) ? { [name]: all[name]! } : all
  for (const [known, summary] of Object.entries(made)) {
    const command = program
      .command(known, { hidden: hidden.has(known) })
      .summary(summary)
      .description(summary)
    addCommonOptions(command)
    command.exitOverride().configureOutput({ outputError: () => {} })
    if (known === name || (name === 'help' && argv.includes(known))) {
      const define = await loadCommand(known)
      define(command, context)
      command.addHelpText('after', `\nExit codes: git env -h lists them.`)
    }
  }
  try {
    await program.parseAsync(argv, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0 || error.code === 'commander.help') return
    throw new EnvError('usage', error.message.replace(/^error: /, '').replace(/\n/g, '; '), {
      hint: `git env ${name in commands ? `${name} ` : ''}-h`,
    })
  }
}

const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'))

function exitCodeLines(): string {
  const rows = [[0, 'done'] as const, ...Object.values(exitCodes).map(({ exit, meaning }) => [exit, meaning] as const)]
  return rows.map(([exit, meaning]) => `  ${String(exit).padStart(3)}  ${meaning}`).join('\n')
}
