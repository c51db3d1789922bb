import { printable } from '../../domain/format-text.ts'
import { allow } from '../../usecases/allow.ts'
import { configuredWorkspace, type DefineCommand } from '../context.ts'

export const define: DefineCommand = (command, context) => {
  command
    .addHelpText(
      'after',
      `
A configuration comes with the repository and may be a stranger's. What leads out of the project (a mount
elsewhere, a store of its own, a server on another machine) and what runs a command (hooks, \`run:\`, \`rebuild:\`, volumes, commands) is used only after this command;
after a change of the configuration, only once it was given again.`,
    )
    .action(async () => {
      const lines = await allow(await configuredWorkspace(context))
      context.output.line(
        lines.length === 0 ? 'nothing in the configuration needs it' : 'allowed, until the configuration changes:',
      )
      for (const line of lines) context.output.line(`  ${printable(line)}`)
      context.output.result({ allowed: lines })
    })
}
