import { type AddHelpTextPosition, Command } from 'commander'
import { exitCodes } from '../domain/errors.ts'
import { snapshotNames } from '../usecases/resolve-snapshot.ts'
import type { Context } from './context.ts'
import { addCommonOptions, commands, loadCommand } from './program.ts'

/** `git-env.1`, which `git env --help` shows, from what the commands say of themselves. */
export async function manPage(version: string): Promise<string> {
  const sections: string[] = []
  for (const [name, summary] of Object.entries(commands)) sections.push(await commandSection(name, summary))
  return `${head(version)}${sections.join('')}${tail()}`
}

/** Keeps the text that a command adds to its help, which commander only prints. */
class DescribedCommand extends Command {
  readonly texts: string[] = []

  override addHelpText(_position: AddHelpTextPosition, text: unknown): this {
    this.texts.push(String(text))
    return this
  }
}

async function commandSection(name: string, summary: string): Promise<string> {
  const command = new DescribedCommand(name)
  // Only an action would ask for its context, and none runs.
  ;(await loadCommand(name))(command, {} as Context)
  addCommonOptions(command)
  const words = command.registeredArguments.map((each) => (each.required ? `<${each.name()}>` : `[${each.name()}]`))
  const terms = [
    ...command.registeredArguments.flatMap(({ description, defaultValue }, i) =>
      description === '' ? [] : [[words[i]!, withDefault(description, defaultValue)] as const],
    ),
    ...command.options.map(({ flags, description }) => [flags, description] as const),
  ]
  return [
    `.SS ${quoted(['git env', name, ...words, '[options]'].join(' '))}`,
    `${roff(sentence(summary))}`,
    ...terms.map(([term, meaning]) => `.TP\n.B ${quoted(term)}\n${roff(sentence(meaning))}`),
    ...command.texts.map((text) => `.PP\n.nf\n${roff(text.trim())}\n.fi`),
    '',
  ].join('\n')
}

function head(version: string): string {
  return `.TH GIT\\-ENV 1 "" ${quoted(`git-env ${version}`)} "Git environments"
.SH NAME
git\\-env \\- snapshots of a whole environment, code and data, that live in Git
.SH SYNOPSIS
.B git env
.I command
[\\fIoptions\\fR]
.SH DESCRIPTION
Every Git branch is an environment: code, the data of its services, and the files that people uploaded.
.B git env snapshot
saves all of it at one point in time and records it as a commit of the branch;
.B git env restore
checks it, stages it beside the live data and brings code and data back together;
.B git env undo
takes that back, without losing a row that was written in between.
.PP
A snapshot is called by ${roff(snapshotNames)}.
.SH COMMANDS
`
}

function tail(): string {
  const codes = [['0', 'done'], ...Object.values(exitCodes).map(({ exit, meaning }) => [String(exit), meaning])]
  return `.SH EXIT STATUS
${codes.map(([exit = '', meaning = '']) => `.TP\n.B ${exit}\n${roff(sentence(meaning))}`).join('\n')}
.SH FILES
.TP
.B .git\\-env.yaml
What belongs to the environment: its services, its mounts, how long snapshots are kept.
.TP
.B .git/env
The store, unless the configuration names another, and what git\\-env keeps for itself.
.SH SEE ALSO
.BR git (1),
.BR git\\-stash (1),
.BR gitk (1)
`
}

function withDefault(description: string, value: unknown): string {
  return value === undefined ? description : `${description}; without it, ${String(value)}`
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`
}

function quoted(text: string): string {
  return `"${roff(text).replaceAll('"', '\\(dq')}"`
}

/** As it stands: no word of it is taken for a request or an escape. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^(?=[.'])/gm, '\\&')
}
